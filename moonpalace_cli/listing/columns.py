"""The columns that `mpal list` can show and sort by: their names, their values, how they fit into a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Literal

from moonpalace_cli.calls.content import answer, read
from moonpalace_cli.calls.presentation import error_text, local_time, milliseconds, model, status, url
from moonpalace_cli.listing.listed import Listed
from moonpalace_cli.text.durations import duration
from moonpalace_cli.text.json_text import Json, Verbatim

type Fit = Literal["whole", "shorten", "wrap", "break"]
"""What may happen to cells where a terminal is narrow: nothing, an ellipsis in the middle, more lines, broken words."""

BODY_SHOWN = 200
"""Characters of a body in a table."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    `cell` gives what a table shows and `value` what JSON has. `order` is what `store.records.ordering` sorts by, None
    where there is no order.
    """

    name: str
    cell: Callable[[Listed], str]
    value: Callable[[Listed], Json]
    order: str | None
    fit: Fit = "whole"
    needs: Literal["row", "tags", "bodies"] = "row"


def plain(name: str, field: str | None = None, fit: Fit = "whole") -> Column:
    """Return the column of a field that is shown as it is."""
    get = attrgetter(field or name)
    return Column(name, lambda call: text(get(call.exchange)), lambda call: get(call.exchange), field or name, fit)


def timed(name: str, field: str | None = None, *, in_milliseconds: bool = False) -> Column:
    """Return the column of a duration; JSON has nanoseconds, or whole milliseconds where the documented column does."""
    get = attrgetter(field or name)
    unit = milliseconds if in_milliseconds else int_or_none
    return Column(name, lambda call: duration(get(call.exchange)), lambda call: unit(get(call.exchange)), field or name)


def int_or_none(value: int | None) -> int | None:
    """Return the value."""
    return value


def moment(name: str) -> Column:
    """Return the column of the time of the request."""
    return Column(
        name,
        lambda call: local_time(call.exchange.started_at),
        lambda call: iso(call.exchange.started_at),
        "started_at",
    )


def iso(value: datetime) -> str:
    """Return the moment in local time with its offset."""
    return value.astimezone().isoformat(timespec="milliseconds")


def sentences(name: str) -> Column:
    """Return the column of a list of sentences."""
    get = attrgetter(name)
    return Column(name, lambda call: "\n".join(get(call.exchange)), lambda call: list(get(call.exchange)), name, "wrap")


def headers(name: str, field: str) -> Column:
    """Return the column of headers, one a line."""
    get = attrgetter(field)
    return Column(
        name,
        lambda call: text(get(call.exchange)).replace("\r\n", "\n").strip(),
        lambda call: get(call.exchange),
        None,
        "wrap",
    )


def body(name: str, side: Literal["request", "response"]) -> Column:
    """Return the column of a body: its beginning in a table, all of it in JSON (null for what is no text)."""

    def content(call: Listed) -> Json:
        if call.bodies is None:
            return None
        found = read(call.bodies.request) if side == "request" else answer(call.exchange, call.bodies).body
        return None if isinstance(found, bytes) or found == "" else found

    def cell(call: Listed) -> str:
        found = content(call)
        shown = found.text if isinstance(found, Verbatim) else text(found)
        line = " ".join(shown[: 2 * BODY_SHOWN].split())
        return line if len(line) <= BODY_SHOWN and len(shown) <= 2 * BODY_SHOWN else line[:BODY_SHOWN] + "…"

    return Column(name, cell, content, None, "wrap", needs="bodies")


def text(value: object) -> str:
    """Return the value as a cell, empty for None."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)


DISPLAYED = (
    plain("id"),
    Column("url", lambda call: url(call.exchange), lambda call: url(call.exchange), "url", "shorten"),
    plain("method"),
    Column("status", lambda call: status(call.exchange), attrgetter("exchange.status_code"), "status_code", "break"),
    Column("state", attrgetter("exchange.state.value"), attrgetter("exchange.state.value"), "state", "break"),
    Column("model", lambda call: text(model(call.exchange)), lambda call: model(call.exchange), "model", "shorten"),
    plain("chatcmpl", "chatcmpl_id", "shorten"),
    plain("request_id", "msh_request_id", "shorten"),
    plain("user_id", "msh_uid", "shorten"),
    plain("group_id", "msh_gid", "shorten"),
    plain("server_timing", fit="break"),
    plain("content_type", "response_content_type", "shorten"),
    moment("requested_at"),
)
"""What `mpal list` and `inspect` call things."""

VIEW = (
    plain("request_method", "method"),
    plain("request_path", "path", "shorten"),
    plain("request_query", "query", "shorten"),
    plain("request_content_type", fit="shorten"),
    plain("client_request_id", fit="shorten"),
    plain("moonshot_id", "chatcmpl_id", "shorten"),
    plain("moonshot_gid", "msh_gid", "shorten"),
    plain("moonshot_uid", "msh_uid", "shorten"),
    plain("moonshot_request_id", "msh_request_id", "shorten"),
    plain("moonshot_server_timing", "server_timing"),
    plain("response_status_code", "status_code"),
    plain("response_content_type", fit="shorten"),
    headers("request_header", "request_headers"),
    body("request_body", "request"),
    headers("response_header", "response_headers"),
    body("response_body", "response"),
    Column(
        "error",
        lambda call: error_text(call.exchange),
        lambda call: error_text(call.exchange) or None,
        "error",
        "wrap",
    ),
    timed("response_ttft", "time_to_first_token", in_milliseconds=True),
    timed("response_tpot", "time_per_output_token", in_milliseconds=True),
    plain("response_otps", "output_tokens_per_second"),
    timed("latency"),
    plain("endpoint", fit="shorten"),
    moment("created_at"),
    plain("model_requested", fit="shorten"),
    plain("model_answered", fit="shorten"),
    plain("finish_reason"),
    *(plain(f"{kind}_tokens") for kind in ("prompt", "completion", "total", "cached", "reasoning")),
)
"""The columns of the view `moonshot_requests`."""

TAGS = Column("tags", lambda call: ", ".join(call.tags), lambda call: list(call.tags), "tags", "wrap", needs="tags")
CATEGORY = plain("category")
FURTHER = (
    plain("tokens", "total_tokens"),
    timed("ttft", "time_to_first_token", in_milliseconds=True),
    timed("tpot", "time_per_output_token", in_milliseconds=True),
    timed("longest_stall", in_milliseconds=True),
    plain("stream", "is_stream"),
    plain("coerced", "is_coerced"),
    plain("request_status_code", "status_code"),
    plain("otps", "output_tokens_per_second"),
    CATEGORY,
    TAGS,
    plain("note", fit="wrap"),
    *(
        plain(name, fit="shorten")
        for name in ("uuid", "path", "query", "key_fingerprint", "context_cache_id", "cache_outcome", "error_kind")
    ),
    *(
        plain(name)
        for name in ("status_code", "is_stream", "is_coerced", "request_bytes", "response_bytes", "cache_tokens")
    ),
    *(
        timed(name)
        for name in (
            "time_to_headers",
            "time_to_first_token",
            "time_to_first_visible_token",
            "time_per_output_token",
            "gap_p50",
            "gap_p90",
            "gap_p99",
            "overhead",
        )
    ),
    plain("output_tokens_per_second"),
    plain("error_message", fit="wrap"),
    sentences("changes"),
    sentences("warnings"),
    plain("chatcmpl_id", fit="shorten"),
    plain("msh_request_id", fit="shorten"),
    plain("msh_uid", fit="shorten"),
    plain("msh_gid", fit="shorten"),
    moment("started_at"),
    headers("request_headers", "request_headers"),
    headers("response_headers", "response_headers"),
)
"""Labels, short names, and the rest of what is stored, under its own name."""

BY_NAME: Mapping[str, Column] = {column.name: column for column in (*DISPLAYED, *VIEW, *FURTHER)}

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


def cells(call: Listed, columns: Sequence[Column]) -> list[str]:
    """Return the call's cells; what is unknown is empty."""
    return [column.cell(call) for column in columns]


def record(call: Listed, columns: Sequence[Column]) -> dict[str, Json]:
    """Return the call as `list --json` prints it: typed values, null for what is unknown."""
    return {column.name: column.value(call) for column in columns}
