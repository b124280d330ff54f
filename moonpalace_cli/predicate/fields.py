"""The fields of predicates: what they are called, what they hold, and in which unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from moonpalace_cli.predicate.tree import Element, Member, Step

type Kind = Literal["whole", "decimal", "text", "truth", "moment", "set", "json", "words"]

WORDS: dict[Kind, str] = {
    "whole": "a number",
    "decimal": "a number",
    "text": "text",
    "truth": "true or false",
    "moment": "a time",
    "set": "a set of texts",
    "json": "JSON",
    "words": "searched for words",
}
"""What kinds are called in messages."""

MILLISECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Field:
    """A field; `column` is one of the table `exchanges`, or the name of an expression that `compile_column` knows.

    `unit` is how many nanoseconds one of a duration is; the column always has nanoseconds.
    """

    kind: Kind
    column: str
    unit: int | None = None


def whole(*names: str) -> dict[str, Field]:
    """Return the fields of columns with whole numbers."""
    return {name: Field("whole", name) for name in names}


def text(*names: str) -> dict[str, Field]:
    """Return the fields of columns with text."""
    return {name: Field("text", name) for name in names}


def durations(*names: str) -> dict[str, Field]:
    """Return the fields of durations in nanoseconds."""
    return {name: Field("whole", name, 1) for name in names}


MOMENT = Field("moment", "started_at")
STATUS = Field("whole", "status_code")
STREAM, COERCED = Field("truth", "is_stream"), Field("truth", "is_coerced")
FIRST_TOKEN = Field("whole", "time_to_first_token", MILLISECOND)
PER_TOKEN = Field("whole", "time_per_output_token", MILLISECOND)
SPEED = Field("decimal", "output_tokens_per_second")
SERVER_TIMING = Field("whole", "server_timing")
CHATCMPL, REQUEST_ID = Field("text", "chatcmpl_id"), Field("text", "msh_request_id")
USER, GROUP = Field("text", "msh_uid"), Field("text", "msh_gid")
METHOD, PATH, QUERY = Field("text", "method"), Field("text", "path"), Field("text", "query")

DISPLAYED = {
    "id": Field("whole", "id"),
    "status": STATUS,
    "chatcmpl": CHATCMPL,
    "request_id": REQUEST_ID,
    "server_timing": SERVER_TIMING,
    "requested_at": MOMENT,
    "url": Field("text", "url"),
    "method": METHOD,
    "path": PATH,
    "query": QUERY,
    "user_id": USER,
    "group_id": GROUP,
    "content_type": Field("text", "response_content_type"),
    "state": Field("text", "state"),
    "model": Field("text", "model"),
    "tokens": Field("whole", "total_tokens"),
    "ttft": FIRST_TOKEN,
    "tpot": PER_TOKEN,
    "otps": SPEED,
    "tags": Field("set", "tags"),
    "text": Field("words", "text"),
}
"""What the tables of `mpal` call things."""

VIEW = {
    "request_method": METHOD,
    "request_path": PATH,
    "request_query": QUERY,
    "moonshot_id": CHATCMPL,
    "moonshot_gid": GROUP,
    "moonshot_uid": USER,
    "moonshot_request_id": REQUEST_ID,
    "moonshot_server_timing": SERVER_TIMING,
    "response_status_code": STATUS,
    "request_header": Field("text", "request_headers"),
    "request_body": Field("json", "request"),
    "response_header": Field("text", "response_headers"),
    "response_body": Field("json", "response"),
    "error": Field("text", "error"),
    "response_ttft": FIRST_TOKEN,
    "response_tpot": PER_TOKEN,
    "response_otps": SPEED,
    "created_at": MOMENT,
    "longest_stall": Field("whole", "longest_stall", MILLISECOND),
    **durations("latency"),
    **text("request_content_type", "response_content_type", "endpoint", "model_requested", "model_answered"),
    **text("finish_reason", "error_kind", "error_message", "key_fingerprint"),
    **{name: Field("set", name) for name in ("warnings", "changes")},
    **text("context_cache_id", "cache_outcome", "category", "note", "client_request_id"),
    **whole("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens"),
    **whole("request_bytes", "response_bytes", "cache_tokens"),
    "is_stream": STREAM,
    "is_coerced": COERCED,
}
"""The columns of the view `moonshot_requests`, but for its `request_id`: that name is displayed for another."""

FURTHER = {
    "request_status_code": STATUS,  # the original's document calls it so
    "status_code": STATUS,
    "chatcmpl_id": CHATCMPL,
    "msh_request_id": REQUEST_ID,
    "msh_uid": USER,
    "msh_gid": GROUP,
    "started_at": MOMENT,
    "stream": STREAM,
    "coerced": COERCED,
    "output_tokens_per_second": SPEED,
    **text("uuid", "request_headers", "response_headers"),
    **durations("time_to_headers", "time_to_first_token", "time_to_first_visible_token", "time_per_output_token"),
    **durations("gap_p50", "gap_p90", "gap_p99", "overhead"),
}
"""Other names, and what else is stored."""

FIELDS = DISPLAYED | VIEW | FURTHER


@dataclass(frozen=True, slots=True)
class Extract:
    """A column that was taken from a path of a body when the call was stored.

    `always` says that where the column is not NULL, the path leads to the very same value. Else a call has in the
    column what the path leads to whenever that is a value `of_kind`, but also the same value from elsewhere.
    """

    column: str
    always: bool = False
    but: frozenset[str] = frozenset()
    """Values that the column has for others too."""


type Place = tuple[str, tuple[Step, ...]]


def place(path: str) -> Place:
    """Return a path, written with dots."""
    root, *steps = path.split(".")
    return root, tuple(Element(int(step)) if step.isdigit() else Member(step) for step in steps)


EXTRACTS: dict[Place, Extract] = {
    place("request.model"): Extract("model_requested", always=True),
    place("request.stream"): Extract("stream_requested"),
    place("response.model"): Extract("model_answered", always=True),
    place("response.id"): Extract("chatcmpl_id", always=True),
    # of several choices, the column has the first reason that is not "stop"
    place("response.choices.0.finish_reason"): Extract("finish_reason", but=frozenset({"stop"})),
    place("response.usage.prompt_tokens"): Extract("prompt_tokens"),
    place("response.usage.completion_tokens"): Extract("completion_tokens"),
    place("response.usage.total_tokens"): Extract("total_tokens"),
    place("response.usage.cached_tokens"): Extract("cached_tokens"),
    place("response.usage.completion_tokens_details.reasoning_tokens"): Extract("reasoning_tokens"),
}
"""The paths that are answered without looking into bodies, or with a look into few of them."""
