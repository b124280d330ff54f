"""Format the metadata, status and times of a stored call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from moonpalace_addons.store.field import MILLISECOND, Field
from moonpalace_addons.store.fields import CATALOGUE
from moonpalace_addons.store.state import State
from moonpalace_addons.wire.status import status_line

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def local_time(moment: datetime | int) -> str:
    """Return the time in the local zone, in the format of the tables; a number is microseconds since the epoch."""
    at = datetime.fromtimestamp(moment / 1e6, UTC) if isinstance(moment, int) else moment
    return at.astimezone().strftime(TIME_FORMAT)


def in_milliseconds(nanoseconds: int | None) -> float | None:
    """Return milliseconds with three decimals."""
    return None if nanoseconds is None else round(nanoseconds / MILLISECOND, 3)


def ago(moment: datetime) -> str:
    """Return the time since a moment in its largest unit."""
    passed = max(0, int((datetime.now().astimezone() - moment).total_seconds()))
    unit, name = next((each for each in UNITS if passed >= each[0]), (1, "s"))
    return f"{passed // unit} {name} ago"


def has_failed(exchange: Exchange) -> bool:
    """Return whether the call failed in a way that its status, if any, does not show.

    Such a call has no complete answer, or an error in its answer; statuses 4xx and 5xx need no mark.
    """
    return exchange.state not in (State.COMPLETED, State.IN_FLIGHT) or exchange.holds_error


def status(exchange: Exchange) -> str:
    """Return the status code of a completed call, marked if the answer contains an error; otherwise the state."""
    if exchange.state is not State.COMPLETED:
        return exchange.state.value
    return f"{text_of(exchange.status_code)} error".strip() if exchange.holds_error else text_of(exchange.status_code)


def metadata(exchange: Exchange) -> dict[str, str]:
    """Return the metadata of `inspect` and `export`: strings under sorted keys, empty if unknown."""
    values = {name: field_text(field, exchange) for field in CATALOGUE for name in field.metadata_names}
    return {name: value for name, value in sorted(values.items()) if value}


def field_text(field: Field, exchange: Exchange) -> str:
    """Format a field as in the metadata: durations in whole milliseconds."""
    value = field.of(exchange)
    if field.name == "status":
        return status_line(exchange.status_code)
    if field.name == "otps" and value is not None:
        return f"{value:.4f}"  # four decimals, as documented
    if value is not None and field.unit:
        return str(cast(int, value) // MILLISECOND)
    return "; ".join(value) if isinstance(value, tuple) else text_of(value)


def text_of(value: object) -> str:
    """Return a value as a text, empty for None."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return local_time(value)
    if isinstance(value, float):
        decimals = 4 if value >= 0.1 else 6 if value >= 0.0001 else 9
        return f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return "" if value is None else str(value)
