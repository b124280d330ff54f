"""The columns of the views, which other programs rely on: names stay, and new ones come at the end of their section.

The columns of `calls` follow from the catalogue of fields. A duration has milliseconds, and its name says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moonpalace_addons.store.field import Field, Kind
from moonpalace_addons.store.fields import CATALOGUE

CALLS, MESSAGES, EVENTS = "calls", "messages", "events"

SHOWN: frozenset[Kind] = frozenset({"text", "whole", "decimal", "truth", "moment", "set"})
"""The kinds of fields that `calls` has: neither headers nor bodies, which `moonshot_requests` has."""
START = "requested_at_us"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its meaning in one line, and the field of the catalogue that it shows, if any."""

    name: str
    meaning: str
    field: Field | None = None


def call_columns() -> Sequence[Column]:
    """Return a column for each field, without aliases."""
    columns, sources = list[Column](), set[str]()
    for field in CATALOGUE:
        if field.kind not in SHOWN or field.source in sources:
            continue
        sources.add(field.source)
        if field.kind == "moment":
            columns.append(Column(field.name, "start of the request, in UTC", field))
            columns.append(Column(START, "the same in microseconds since 1970, which an index serves", field))
        elif field.unit:
            columns.append(Column(f"{field.name}_ms", f"{field.meaning}, in milliseconds", field))
        else:
            columns.append(Column(field.name, MEANINGS.get(field.name, field.meaning), field))
    return columns


MEANINGS = {
    "id": "row number",
    "status": "status code of the response",
    "chatcmpl": "ID of the completion, message or response",
    "request_id": "request ID in the headers of the response (Msh-Request-Id, x-request-id, request-id)",
    "changes": "changes that the proxy made to the request, as a JSON array",
    "warnings": "warnings about the request or the response, as a JSON array",
    "tags": "tags, as a JSON array",
    "note": "note set by a user",
}
"""Meanings that differ from those in tables of `mpal`."""

COLUMNS: Mapping[str, Sequence[Column]] = {
    CALLS: call_columns(),
    MESSAGES: (
        Column("call_id", "the call: calls.id"),
        Column("side", "request or response"),
        Column("position", "place in the list of messages, from 1; 0 for instructions beside the list"),
        Column("role", "system, user, assistant, tool …; the type of an item that has no role; error for an error"),
        Column("text", "texts of the message, blocks joined by line ends"),
        Column("reasoning", "reasoning of the model"),
        Column("tool_calls", "calls of tools as a JSON array, as the API's face spells them"),
        Column("tool_call_id", "ID of the call that a tool's message answers"),
        Column("message", "the whole message as JSON"),
    ),
    EVENTS: (
        Column("call_id", "the call: calls.id"),
        Column("position", "place among the events of the call, from 1"),
        Column("kind", "request, headers, first_token, first_visible_token or end"),
        Column("at", "when it happened, in UTC"),
        Column("at_ms", "milliseconds since the request began"),
        Column("detail", "method and path of the request, status code of the headers, state at the end"),
    ),
}
"""The columns of each view, in their order."""
