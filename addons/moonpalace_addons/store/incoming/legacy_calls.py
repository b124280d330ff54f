"""Convert rows of the original MoonPalace to calls: keep their values and derive the missing ones."""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from uuid import UUID, uuid5

from moonpalace_addons.store.incoming import legacy
from moonpalace_addons.store.incoming.legacy import LegacyRow, Stored
from moonpalace_addons.store.incoming.transfer import Transferred
from moonpalace_addons.store.read.header_text import header_pairs
from moonpalace_addons.store.records.values import MAX_INT64, Values
from moonpalace_addons.store.tasks import ExchangeEnded, State
from moonpalace_addons.store.write import derive, gate
from moonpalace_addons.store.write.answers import Received
from moonpalace_addons.store.write.storable import storable
from moonpalace_addons.wire.chat import completion
from moonpalace_addons.wire.chat.deviations import NO_DONE
from moonpalace_addons.wire.faces.face import REPEAT
from moonpalace_addons.wire.json_value import mapping, parse
from moonpalace_addons.wire.secrets import masking

NAMESPACE = UUID("6f6c6420-6d6f-5f6e-8061-6c6163650001")
RUN: Values = {
    "id": str(uuid5(NAMESPACE, "the original")),
    "host": "",
    "pid": 0,
    "version": "original",
    "started_at": 0,
    "heartbeat_at": 0,
    "ended_at": 0,
}
"""The run of all calls of the original, whose database does not record runs."""

# Go's error messages.
TIMED_OUT = ("deadline exceeded", "timeout", "timed out")
CANCELLED = ("context canceled", "request canceled")

MOMENT = re.compile(r"\s*(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(\.\d{1,9})?\s*(Z|[+-]\d\d:?\d\d)?")
HEADER_LINE = re.compile(r"[^\n]*\n|[^\n]+")
USER_INFORMATION = re.compile(r"(?<=://)[^/?#@\s]{1,512}@")

NO_TIME = "the original MoonPalace's time of this call cannot be read; it has that of the call before"
NO_STATUS = "the original MoonPalace broke off at this call and recorded no status"
NO_END = "the stream has no [DONE]: it may have been cut off, which the original MoonPalace did not record"


def calls(rows: Iterable[LegacyRow], *, otherwise: int) -> Iterator[Transferred]:
    """Yield a call for each row; times without a zone are in this machine's time zone.

    `otherwise` is the time, in microseconds, of a first row whose time cannot be read.
    """
    for row, moment in with_times(rows, otherwise=otherwise):
        yield to_call(row, moment)


def with_times(rows: Iterable[LegacyRow], *, otherwise: int) -> Iterator[tuple[LegacyRow, int]]:
    """Yield each row with its time in microseconds, or that of the previous row if its own cannot be read."""
    moment = otherwise
    for row in rows:
        read = microseconds(text(row["created_at"]))
        moment = moment if read is None else read
        yield row, moment


def to_call(row: LegacyRow, started_at: int) -> Transferred:
    """Return the call of a row, without the secrets that the original stored."""
    warnings = [NO_TIME] if microseconds(text(row["created_at"])) is None else []
    request_headers, response_headers = text(row["request_header"]), text(row["response_header"])
    hidden = masking.credentials([*header_pairs(request_headers or ""), *header_pairs(response_headers or "")])
    request, response = masked(row["request_body"], hidden), masked(row["response_body"], hidden)
    fields = derive.request_fields(request or b"")
    answer = received_answer(row, stripped(response_headers, hidden), response)
    error = text(row["error"])
    ended = ExchangeEnded("", integer(row["latency"]) or 0, failure(error) if error else State.COMPLETED)
    call = Transferred(identity(row), {}, request_body=request, run=RUN)
    path = text(row["request_path"]) or ""
    derive.finish(call, ended, answer, fields, path=path, warnings=warnings, hidden=hidden)
    columns = (
        derive.EMPTY
        | request_columns(row, request, stripped(request_headers, hidden), fields)
        | call.columns
        | recorded_columns(row, stripped(response_headers, hidden))
        | ending(row, call.columns, call.stream, call.response_body)
        | {"uuid": call.uuid, "run_id": RUN["id"], "id": integer(row["id"]), "started_at": started_at}
    )
    call.columns = storable(columns, hidden)
    call.response_body = None if response is None else call.response_body
    return call


def received_answer(row: LegacyRow, headers: str | None, body: bytes | None) -> Received | None:
    """Return the answer as received, None if there was none."""
    status = integer(row["response_status_code"])
    if status is None and headers is None and body is None:
        return None
    content_type = (text(row["response_content_type"]) or "").partition(";")[0].strip().lower()
    return Received(None, status, headers, content_type or None, body or b"", [])


def request_columns(row: LegacyRow, body: bytes | None, headers: str | None, fields: derive.Fields) -> Values:
    """Return the columns derived from the request."""
    return {
        "method": text(row["request_method"]) or "",
        "endpoint": without_user(text(row["endpoint"]) or ""),
        "path": masking.mask_path(text(row["request_path"]) or ""),
        "query": masking.mask_query(text(row["request_query"]) or ""),
        "request_headers": headers or "",
        "request_content_type": text(row["request_content_type"]),
        "request_bytes": len(body or b""),
        "client_request_id": text(row["request_id"]),
        "is_coerced": False,  # the original did not record whether the client asked for the stream
        **derive.asked_columns(headers or "", fields),
    }


def recorded_columns(row: LegacyRow, headers: str | None) -> Values:
    """Return the columns that the original recorded, unchanged even where ours would be more precise."""
    return {
        "status_code": integer(row["response_status_code"]),
        "response_headers": headers,
        "response_content_type": text(row["response_content_type"]),
        "response_bytes": None if row["response_body"] is None else len(as_bytes(row["response_body"])),
        "chatcmpl_id": text(row["moonshot_id"]),
        "msh_request_id": text(row["moonshot_request_id"]),
        "msh_uid": text(row["moonshot_uid"]),
        "msh_gid": text(row["moonshot_gid"]),
        "server_timing": integer(row["moonshot_server_timing"]),
        "time_to_first_token": nanoseconds(row["response_ttft"]),
        "time_per_output_token": nanoseconds(row["response_tpot"]),
        "output_tokens_per_second": real(row["response_otps"]),
        "latency": integer(row["latency"]),
        "overhead": None,
    }


def ending(row: LegacyRow, derived: Values, stream: bytes | None, merged: bytes | None) -> Values:
    """Return the state of the call and its errors, as far as known; `stream` and `merged` are those of a stream."""
    if error := text(row["error"]):
        return {"state": failure(error), "error_kind": None, "error_message": without_query(row, without_user(error))}
    if stream is not None and REPEAT in finish_reasons(merged):
        return {"state": State.REPEAT_INTERRUPTED}
    warnings = list(json.loads(str(derived["warnings"] or "[]")))
    if row["response_status_code"] is None:
        return {"state": State.PROXY_DIED, "warnings": derive.packed([*warnings, NO_STATUS])}
    if stream is not None and derived["finish_reason"] is None and b"[DONE]" not in stream[-64:]:
        # Replaces the advice to request more tokens, which is not why such a stream has no finish reason.
        kept = [warning for warning in warnings if not warning.startswith((completion.WARNING, NO_DONE))]
        return {"state": State.COMPLETED, "warnings": derive.packed([*kept, NO_END])}
    return {"state": State.COMPLETED}


def failure(error: str) -> State:
    """Return the state for an error message of Go's HTTP library."""
    if any(words in error.lower() for words in TIMED_OUT):
        return State.TIMED_OUT
    if any(words in error for words in CANCELLED):
        return State.CLIENT_DISCONNECTED
    return State.UPSTREAM_FAILED


def finish_reasons(body: bytes | None) -> list[object]:
    """Return the finish reasons of a completion."""
    found = completion.choices(mapping(parse(body or b"")))
    return [choice.get("finish_reason") for choice in found]


def identity(row: LegacyRow) -> str:
    """Return a uuid that is the same for a row and its key on every machine, so that it is imported only once.

    It contains nothing secret, against which guesses could be tested: only the sizes of bodies, and no headers.
    """
    parts = [
        integer(row["id"]),
        integer(row["latency"]),
        *(text(row[name]) for name in ("created_at", "request_method", "request_path", "moonshot_id")),
        text(row["moonshot_request_id"]),
        without_user(text(row["endpoint"]) or ""),
        *(size(row[name]) for name in legacy.BODIES),
    ]
    return str(uuid5(NAMESPACE, json.dumps(parts)))


def stripped(headers: str | None, hidden: tuple[bytes, ...]) -> str | None:
    """Return header lines with secrets masked."""
    if headers is None:
        return None
    lines = [line.partition(":") for line in HEADER_LINE.findall(headers)]
    kept = [f"{name}:{masked_like(name, value)}" for name, _, value in lines]
    return masking.mask_known("".join(kept), hidden)


def masked_like(name: str, value: str) -> str:
    """Return the masked value of a header, with the original whitespace around it."""
    text = value.strip()
    return value.replace(text, masking.mask_value(name, text)) if text else value


def masked(value: Stored, hidden: tuple[bytes, ...]) -> bytes | None:
    """Return a body with the secrets of its headers masked, None for None."""
    return None if value is None else gate.masked_body(as_bytes(value), hidden)[0]


def without_user(url: str) -> str:
    """Return a text with user and password in URLs masked."""
    return USER_INFORMATION.sub("***@", url)


def without_query(row: LegacyRow, error: str) -> str:
    """Return an error message, which contains the URL, with the secrets of its query masked."""
    query = text(row["request_query"]) or ""
    return error.replace(query, masking.mask_query(query)) if query else error


def microseconds(moment: str | None) -> int | None:
    """Return microseconds since the epoch, None if unreadable; a time without a zone is local."""
    found = MOMENT.match(moment or "")
    if not found:
        return None
    try:
        read = datetime.fromisoformat(found[1] + (found[2] or "")[:7] + (found[3] or ""))
        return round(read.astimezone().timestamp() * 1e6)
    except (ValueError, OverflowError, OSError):
        return None


def text(value: Stored) -> str | None:
    """Return a stored value as text."""
    return None if value is None else as_bytes(value).decode("utf-8", "backslashreplace")


def as_bytes(value: Stored) -> bytes:
    """Return the bytes of a stored value, empty for NULL."""
    if isinstance(value, bytes):
        return value
    return b"" if value is None else str(value).encode()


def size(value: Stored) -> int:
    """Return the size of a stored body, which a key has in its place."""
    return value if isinstance(value, int) else len(as_bytes(value))


def integer(value: Stored) -> int | None:
    """Return a stored number as an integer in the range of our columns; None for anything else."""
    number = real(value) if not isinstance(value, int) else value
    return int(number) if number is not None and abs(number) <= MAX_INT64 else None


def real(value: Stored) -> float | None:
    """Return a stored number as a finite float; None for anything else."""
    try:
        number = None if value is None else float(value)
    except ValueError:
        return None
    return number if number is not None and abs(number) < float("inf") else None


def nanoseconds(milliseconds: Stored) -> int | None:
    """Return a duration in nanoseconds, the unit of our columns."""
    number = integer(milliseconds)
    return None if number is None or number > MAX_INT64 // 1_000_000 else number * 1_000_000
