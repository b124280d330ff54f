"""The SQL of the view `events`: one row for each event in the life of a call.

The events of streams are compressed, which plain SQL cannot read; storing them again would cost the writer time.
"""

from moonpalace_addons.store.sql_views.calls import MOMENTS, milliseconds

DURATIONS = (
    ("request", "0", "method || ' ' || path"),
    ("headers", "time_to_headers", "CAST(status_code AS TEXT)"),
    ("first_token", "time_to_first_token", "NULL"),
    ("first_visible_token", "time_to_first_visible_token", "NULL"),
    ("end", "latency", "state"),
)
"""The kinds of events: nanoseconds after the request, and a detail."""

QUERY = """SELECT id AS call_id, {place} AS position, '{kind}' AS kind, {at} AS at, {at_ms} AS at_ms,
    CAST({detail} AS TEXT) AS detail FROM exchanges WHERE {after} IS NOT NULL"""


def events(dialect: str) -> str:
    """Return the query that is the view."""
    return "\nUNION ALL ".join(one_kind(place, *each, dialect) for place, each in enumerate(DURATIONS, 1))


def one_kind(place: int, kind: str, after: str, detail: str, dialect: str) -> str:
    """Return the events of one kind."""
    at = MOMENTS[dialect].format(microseconds=f"started_at + {after} / 1000")
    values = {"place": place, "kind": kind, "at": at, "at_ms": milliseconds(after), "detail": detail, "after": after}
    return QUERY.format(**values)
