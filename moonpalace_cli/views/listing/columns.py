"""The columns of `mpal list`: the cells and JSON values of the fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Literal, cast

from moonpalace_addons.store.field import Field
from moonpalace_addons.store.fields import FIELDS
from moonpalace_addons.views.durations import duration
from moonpalace_addons.wire.json_text import Json, Verbatim
from moonpalace_cli.calls.content import answer, read
from moonpalace_cli.calls.presentation import ago, status, text_of
from moonpalace_cli.views.listing.listed import Listed

BODY_SHOWN = 200
"""Characters of a body in a table."""


@dataclass(frozen=True, slots=True)
class Column:
    """A field under one of its names; `needs` is what must be read of a call beside its row, and `read` its value."""

    name: str
    field: Field
    needs: Literal["row", "tags", "bodies"]
    read: Callable[[Listed], object]

    def cell(self, call: Listed, *, relative: bool = False) -> str:
        """Return the cell of a table, empty for an unknown value; with `relative`, times as how long ago they were."""
        if self.field.name == "status":
            return status(call.exchange)
        found = self.read(call)
        if relative and isinstance(found, datetime):
            return ago(found)
        if self.field.kind == "json":
            return beginning(found)
        if found is not None and self.field.unit:
            return duration(cast(int, found))
        if isinstance(found, tuple):
            return (", " if self.needs == "tags" else "\n").join(found)
        shown = text_of(found)
        return shown.replace("\r\n", "\n").strip() if self.field.kind == "headers" else shown

    def value(self, call: Listed) -> Json:
        """Return the value for JSON, null for an unknown one."""
        found = self.read(call)
        if found is not None and self.field.unit:
            return cast(int, found) // self.field.unit
        if isinstance(found, datetime):
            return iso(found)
        return list(found) if isinstance(found, tuple) else cast(Json, found)


def column_of(name: str, field: Field) -> Column:
    """Return the column that shows a field under a name."""
    if field.kind == "json":
        return Column(name, field, "bodies", partial(body, name))
    if name == "tags":
        return Column(name, field, "tags", attrgetter("tags"))
    value = field.value
    read = (lambda call: value(call.exchange)) if value else attrgetter(f"exchange.{field.source}")
    return Column(name, field, "row", read)


def iso(value: datetime) -> str:
    """Return the moment in local time with its offset."""
    return value.astimezone().isoformat(timespec="milliseconds")


def body(name: str, call: Listed) -> str | Verbatim | None:
    """Return a body, None if it is not text."""
    if call.bodies is None:
        return None
    found = read(call.bodies.request) if name == "request_body" else answer(call.exchange, call.bodies).body
    return None if isinstance(found, bytes) or found == "" else found


def beginning(body: object) -> str:
    """Return the beginning of a body in one line."""
    shown = body.text if isinstance(body, Verbatim) else text_of(body)
    line = " ".join(shown[: 2 * BODY_SHOWN].split())
    return line if len(line) <= BODY_SHOWN and len(shown) <= 2 * BODY_SHOWN else line[:BODY_SHOWN] + "…"


BY_NAME: Mapping[str, Column] = {
    name: column_of(name, field) for name, field in FIELDS.items() if field.kind != "words"
}

DEFAULT = ("id", "status", "chatcmpl", "request_id", "server_timing", "requested_at")
VERBOSE = (
    "id",
    "url",
    "method",
    "status",
    "chatcmpl",
    "request_id",
    "user_id",
    "server_timing",
    "content_type",
    "requested_at",
)
"""The documented columns."""
LABELS = ("category", "tags")
"""What --verbose adds where one of the calls has labels."""
RECORD = (
    *("id", "url", "method", "status", "state", "error_kind", "model", "chatcmpl", "request_id", "user_id"),
    "server_timing",
    *("content_type", "requested_at"),
    *("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens"),
    *("category", "tags", "note"),
)
"""What --json has without --columns."""


def chosen(names: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of these names."""
    return tuple(BY_NAME[name] for name in names)


def record(call: Listed, columns: Sequence[Column]) -> dict[str, Json]:
    """Return the call as `list --json` prints it: typed values, null for what is unknown."""
    return {column.name: column.value(call) for column in columns}
