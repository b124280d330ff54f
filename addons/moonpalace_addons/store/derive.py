"""Work out the columns of a call from what was captured of it: off the hot path, and again after a crash."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moonpalace_addons.store.records import COLUMNS, Values
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, State
from moonpalace_addons.wire import completion, secrets, sse, timing
from moonpalace_addons.wire.chat import Merger

EMPTY: Values = {column.name: None for column in COLUMNS if column.name != "id"}

DONE = "[DONE]"
EVENT_STREAM = "text/event-stream"

HEADER_COLUMNS = (
    "status_code",
    "response_headers",
    "response_content_type",
    "msh_request_id",
    "msh_uid",
    "msh_gid",
    "server_timing",
    "context_cache_id",
    "time_to_headers",
)
READING_COLUMNS = (
    "chatcmpl_id",
    "model_answered",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "time_to_first_token",
    "time_to_first_visible_token",
    "time_per_output_token",
    "output_tokens_per_second",
    "longest_stall",
)

type Fields = Mapping[str, object]
"""The scalar members of a JSON request: model, stream, max_tokens …"""


@dataclass(frozen=True, slots=True)
class Received:
    """What came back, decoded and masked. Times are nanoseconds since the request began.

    `chunks` are (offset in `body` after the chunk, time); `problem` says what was wrong with the encoding.
    """

    at: int | None
    status_code: int | None
    headers: str | None
    content_type: str | None
    body: bytes
    chunks: list[tuple[int, int]]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The columns that the end of a call fills, the body to keep, and the stream if it was one."""

    columns: Values
    body: bytes | None
    stream: bytes | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the body of an answer says."""

    completion: object
    body: bytes | None
    events: list[tuple[int, object]]
    warnings: list[str]


def request_fields(body: bytes) -> Fields:
    """Return the scalar members of a JSON object, empty for anything else."""
    parsed = parse(body)
    if not isinstance(parsed, dict):
        return {}
    return {name: value for name, value in parsed.items() if isinstance(value, str | int | float | bool)}


def parse(data: bytes | str) -> object:
    """Return the parsed JSON, None for what is none."""
    try:
        parsed: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return parsed


def request_columns(request: RequestRead, fields: Fields, *, run_id: str, fingerprint_key: bytes) -> Values:
    """Return a whole row of `exchanges` for a request that has just been read."""
    return EMPTY | {
        "uuid": request.uuid,
        "run_id": run_id,
        "state": State.IN_FLIGHT,
        "started_at": request.started_at,
        "method": request.method,
        "endpoint": request.endpoint,
        "path": request.path,
        "query": secrets.strip_query(request.query),
        "request_headers": secrets.mask_text(request.headers, request.secrets),
        "request_content_type": request.content_type,
        "request_bytes": len(request.body),
        "client_request_id": request.client_request_id,
        "key_fingerprint": secrets.fingerprint(request.api_key, fingerprint_key) if request.api_key else None,
        "changes": packed(request.changes),
        "model_requested": text_or_none(fields.get("model")),
        "is_stream": fields.get("stream") is True,
        "is_coerced": False,
    }


def header_columns(received: Received) -> Values:
    """Return the columns that the headers of a response fill."""
    named = {name.lower(): value for name, value in header_pairs(received.headers or "")}
    duration = re.search(r"dur=(\d+)|^(\d+)$", named.get("server-timing", ""))
    return {
        "status_code": received.status_code,
        "response_headers": received.headers,
        "response_content_type": received.content_type,
        "msh_request_id": named.get("msh-request-id"),
        "msh_uid": named.get("msh-uid"),
        "msh_gid": named.get("msh-gid"),
        "server_timing": int(duration[1] or duration[2]) if duration else None,
        "context_cache_id": named.get("msh-context-cache-id"),
        "time_to_headers": received.at,
    }


def header_pairs(headers: str) -> list[tuple[str, str]]:
    """Return names and values of `Name: value` lines."""
    pairs = (line.partition(": ") for line in headers.split("\r\n") if line)
    return [(name, value) for name, _, value in pairs]


def outcome(
    ended: ExchangeEnded, received: Received | None, fields: Fields, *, warnings: Sequence[str] = ()
) -> Outcome:
    """Return everything that the end of a call adds to its row."""
    if received is None:
        return Outcome(ending_columns(ended, fields), None, None)
    streamed = received.content_type == EVENT_STREAM
    reading = read_stream(received) if streamed else read_body(received)
    warnings = [*warnings, *ended.warnings, *reading.warnings]
    if ended.state is State.COMPLETED and received.status_code is not None:
        truncated = completion.truncation_warning(
            fields, reading.completion, streamed=streamed, status=received.status_code
        )
        warnings += [truncated] if truncated else []
    columns = ending_columns(ended, fields) | header_columns(received) | reading_columns(reading, received, ended.at)
    columns |= {"warnings": packed(warnings), "response_bytes": len(received.body), "is_stream": streamed}
    return Outcome(columns, reading.body, received.body if streamed else None)


def unread_outcome(ended: ExchangeEnded, received: Received | None, warning: str) -> Outcome:
    """Return the outcome of a call whose answer could not be read: its state and its bytes."""
    columns = ending_columns(ended, {}) | {"warnings": packed([warning])}
    if received is None:
        return Outcome(columns, None, None)
    columns |= header_columns(received) | {"response_bytes": len(received.body)}
    return Outcome(columns, received.body, received.body if received.content_type == EVENT_STREAM else None)


def ending_columns(ended: ExchangeEnded, fields: Fields) -> Values:
    """Return the columns that every ending fills, so that endings of all kinds fill the same ones."""
    received = dict.fromkeys((*HEADER_COLUMNS, *READING_COLUMNS, "response_bytes", "warnings"))
    return received | {
        "state": ended.state,
        "is_stream": fields.get("stream") is True,
        "is_coerced": False,
        "latency": ended.at,
        "overhead": ended.overhead,
        "warnings": packed(ended.warnings),
        "error_kind": ended.error_kind,
        "error_message": ended.error_message,
    }


def reading_columns(reading: Reading, received: Received, ended_at: int) -> Values:
    """Return the columns that the body of an answer fills; the errors only where it names one."""
    summary = completion.summarize(reading.completion)
    usage = summary.usage
    streamed = received.content_type == EVENT_STREAM
    times = timing.measure(
        0, received.at, ended_at, received.chunks, reading.events, usage.completion_tokens, streamed
    )
    named = {"error_kind": summary.error_type, "error_message": summary.error_message}
    return {
        "chatcmpl_id": summary.id if summary.has_choices else None,
        "model_answered": summary.model,
        "finish_reason": summary.finish_reason,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "time_to_first_token": times.time_to_first_token,
        "time_to_first_visible_token": times.time_to_first_visible_token,
        "time_per_output_token": times.time_per_output_token,
        "output_tokens_per_second": times.output_tokens_per_second,
        "longest_stall": times.longest_stall,
    } | {name: value for name, value in named.items() if value is not None}


def read_body(received: Received) -> Reading:
    """Read an answer that is not a stream."""
    warnings = [received.problem] if received.problem else []
    is_json = received.content_type is not None and received.content_type.endswith("json")
    return Reading(parse(received.body) if is_json else None, received.body, [], warnings)


def read_stream(received: Received) -> Reading:
    """Read a stream: its events, and the completion that they merge to."""
    decoder = sse.Decoder()
    events = [*decoder.feed(received.body), *decoder.close()]
    parsed = [(event.end, parse(event.data)) for event in events if event.data != DONE]
    merger = Merger()
    for _, chunk in parsed:
        merger.feed(chunk)
    merged = merger.result() if any(is_chunk(chunk) for _, chunk in parsed) else None
    warnings = [received.problem] if received.problem else []
    if decoder.overflowed:
        warnings.append("an event of the stream is too large to be read; its bytes are kept")
    return Reading(merged, dumped(merged) if merged is not None else received.body, parsed, warnings)


def dumped(value: object) -> bytes:
    """Return readable JSON; half surrogate pairs, which UTF-8 has no bytes for, stay escaped."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def is_chunk(value: object) -> bool:
    """Tell whether a parsed event belongs to a chat completion (or says why there is none)."""
    return isinstance(value, dict) and ("choices" in value or "error" in value)


def storable(columns: Values) -> Values:
    """Return the columns with what no database takes made harmless: half surrogate pairs, NUL, integers past 64 bits."""
    return {name: harmless(value) for name, value in columns.items()}


def harmless(value: object) -> object:
    """Return the value as a database can hold it."""
    if isinstance(value, str) and not (value.isascii() and "\x00" not in value):
        return value.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and abs(value) >= 2**63:
        return None
    return value


def packed(texts: list[str] | tuple[str, ...]) -> str | None:
    """Return texts as a JSON array, None for none."""
    return json.dumps(texts, ensure_ascii=False) if texts else None


def text_or_none(value: object) -> str | None:
    """Return a string as it is, None for anything else."""
    return value if isinstance(value, str) else None
