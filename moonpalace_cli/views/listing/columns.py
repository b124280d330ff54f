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
"""Maximum characters of a body in a table."""


@dataclass(frozen=True, slots=True)
class Column:
    """A field under one of its names; `needs` is the data besides the row that its `read` needs."""

    name: str
    field: Field
    needs: Literal["row", "tags", "bodies"]
    read: Callable[[Listed], object]

    def cell(self, call: Listed, *, relative: bool = False) -> str:
        """Return the cell of a table; empty if the value is unknown.

        With `relative`, times are shown as the time since.
        """
        if self.field.name == "status":
            return status(call.exchange)
        value = self.read(call)
        if relative and isinstance(value, datetime):
            return ago(value)
        if self.field.kind == "json":
            return beginning(value)
        if value is not None and self.field.unit:
            return duration(cast(int, value))
        if isinstance(value, tuple):
            return (", " if self.needs == "tags" else "\n").join(value)
        text = text_of(value)
        return text.replace("\r\n", "\n").strip() if self.field.kind == "headers" else text

    def value(self, call: Listed) -> Json:
        """Return the value for JSON; null if it is unknown."""
        value = self.read(call)
        if value is not None and self.field.unit:
            return cast(int, value) // self.field.unit
        if isinstance(value, datetime):
            return iso(value)
        return list(value) if isinstance(value, tuple) else cast(Json, value)


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
    """Return a body; None if it is not text."""
    if call.bodies is None:
        return None
    content = read(call.bodies.request) if name == "request_body" else answer(call.exchange, call.bodies).body
    return None if isinstance(content, bytes) or content == "" else content


def beginning(body: object) -> str:
    """Return the beginning of a body in one line."""
    text = body.text if isinstance(body, Verbatim) else text_of(body)
    line = " ".join(text[: 2 * BODY_SHOWN].split())
    return line if len(line) <= BODY_SHOWN and len(text) <= 2 * BODY_SHOWN else line[:BODY_SHOWN] + "…"


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
"""The columns that --verbose adds if any of the calls has labels."""
RECORD = (
    *("id", "url", "method", "status", "state", "error_kind", "model", "chatcmpl", "request_id", "user_id"),
    "server_timing",
    *("content_type", "requested_at"),
    *("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens"),
    *("category", "tags", "note"),
)
"""The columns of --json without --columns."""


def chosen(names: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of these names."""
    return tuple(BY_NAME[name] for name in names)


def record(call: Listed, columns: Sequence[Column]) -> dict[str, Json]:
    """Return the call as `list --json` prints it: typed values, null if unknown."""
    return {column.name: column.value(call) for column in columns}
