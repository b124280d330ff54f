"""Values of rows."""

from datetime import UTC, datetime, timedelta

type Values = dict[str, object]

MAX_INT64 = 2**63 - 1
"""The greatest integer that both databases can store."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Return a datetime in microseconds since the epoch, as columns hold it."""
    return (moment - EPOCH) // MICROSECOND
