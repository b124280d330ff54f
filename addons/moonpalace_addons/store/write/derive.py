"""Derive the columns of a call from its captured data, in the writer's process and again in recovery."""

import json
import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

from msgspec import structs

from moonpalace_addons.store.read.header_text import header_pairs
from moonpalace_addons.store.records.exchanges import COLUMNS
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, State
from moonpalace_addons.store.telemetry.parameters import MEMBERS
from moonpalace_addons.store.write import gate
from moonpalace_addons.store.write.answers import Reading, Received, read
from moonpalace_addons.store.write.units import Unit
from moonpalace_addons.wire import answer_headers, session
from moonpalace_addons.wire.chat import stream_texts, timing
from moonpalace_addons.wire.chat.last_words import last_words
from moonpalace_addons.wire.codings import encodings
from moonpalace_addons.wire.faces.summary import Summary, summarize
from moonpalace_addons.wire.foreign import quoted
from moonpalace_addons.wire.json_value import mapping, parse_bounded
from moonpalace_addons.wire.secrets import masking
from moonpalace_addons.wire.status import FIRST_ERROR, FIRST_REDIRECT
from moonpalace_addons.wire.usage import Usage

logger = logging.getLogger(__name__)

EMPTY: Values = {column.name: None for column in COLUMNS if column.name != "id"}

SERVER_TIMING = "server-timing"

MIN_SILENCE = 1_000_000_000
"""Nanoseconds of silence before the end of a stream that give a warning about the side at fault."""

HARMLESS_AFTER_END = ("client_disconnected", "upstream_cut", "upstream_reset", "upstream_timeout", "proxy_stopped")
"""Kinds of failure that are harmless to a client that has the whole answer except the end of the transfer."""

MAX_MESSAGE = 2000
"""Maximum characters of an error message; the answer contains all of it."""

MAX_WAITING_SIZE = 100_000
"""Bytes of an answer that may wait for a step after it was parsed, which takes many times as much memory."""

MAX_WARNINGS = 20
"""Maximum warnings of a call that are kept: each odd member, choice or tool call of an answer gives one."""

CUT_WARNING = "the stream ended without the blank line of its last event, which clients then ignore"

SCALARS = (str, int, float)

KEPT = MEMBERS | {"metadata", "tool_choice"}
"""Members of a request that are kept whatever they are."""

type Fields = Mapping[str, object]
"""The scalar members of a JSON request (model, stream, max_tokens …), and those in `KEPT`."""


def request_content(body: bytes) -> tuple[Fields, str]:
    """Return the fields of a request, and the user's last words in it; both are empty for anything but an object."""
    parsed = parse_bounded(body)
    return (fields_of(parsed), last_words(parsed)) if isinstance(parsed, dict) else ({}, "")


def request_fields(body: bytes) -> Fields:
    """Return the fields of a request, empty for anything but a JSON object."""
    parsed = parse_bounded(body)
    return fields_of(parsed) if isinstance(parsed, dict) else {}


def fields_of(parsed: Mapping[str, object]) -> Fields:
    """Return the scalar members of an object and those in `KEPT`."""
    return {name: value for name, value in parsed.items() if isinstance(value, SCALARS) or name in KEPT}


def request_columns(request: RequestRead, fields: Fields, *, run_id: str, fingerprint_key: bytes) -> Values:
    """Return the columns that a request fills; `gate.hidden_in` replaces its headers and address."""
    return {
        "uuid": request.uuid,
        "run_id": run_id,
        "state": State.IN_FLIGHT,
        "started_at": request.started_at,
        "method": request.method,
        "endpoint": request.endpoint,
        "endpoint_name": request.endpoint_name,
        "path": request.path,
        "query": request.query,
        "request_headers": request.headers,
        "request_content_type": request.content_type,
        "request_bytes": len(request.body),
        "client_request_id": request.client_request_id,
        "key_fingerprint": masking.fingerprint(request.api_key, fingerprint_key) if request.api_key else None,
        "changes": packed(request.changes),
        "is_coerced": request.coerced,
        **asked_columns(request.headers, fields),
    }


def asked_columns(headers: str, fields: Fields) -> Values:
    """Return the columns derived from the fields of a request, for captured and for imported calls."""
    return {
        "session": session.of_request(session_headers(headers), fields),
        "model_requested": text_or_none(fields.get("model")),
        "stream_requested": fields.get("stream") is True if fields else None,
        "is_stream": fields.get("stream") is True,
    }


def header_columns(received: Received) -> Values:
    """Return the columns derived from response headers."""
    said = answer_headers.read(named_headers(received.headers or ""))
    return {
        "status_code": received.status_code,
        "response_headers": received.headers,
        "response_content_type": received.content_type,
        **said._asdict(),
        "time_to_headers": received.at,
    }


def session_headers(headers: str) -> dict[str, str]:
    """Return the headers of a request if any of them may name its session, which few clients send."""
    return named_headers(headers) if session.MARK in headers.lower() else {}


def named_headers(headers: str) -> dict[str, str]:
    """Return stored headers by their lower-case names; of repeated ones the last, but all lines of Server-Timing."""
    pairs = [(name.lower(), value) for name, value in header_pairs(headers)]
    named = dict(pairs)
    if SERVER_TIMING in named:
        named[SERVER_TIMING] = ", ".join(value for name, value in pairs if name == SERVER_TIMING)
    return named


UNANSWERED: Values = dict.fromkeys(
    ("response_bytes", "chatcmpl_id", "model_answered", "finish_reason", *Usage._fields, *timing.Timing._fields)
) | header_columns(Received(None, None, None, None, b"", []))
"""The columns derived from an answer, for a call without one."""


def finish_in_steps(
    unit: Unit,
    ended: ExchangeEnded,
    received: Received | None,
    fields: Fields,
    *,
    path: str = "",
    warnings: Sequence[str] = (),
    hidden: Sequence[bytes] = (),
    coerced: bool = False,
) -> Iterator[None]:
    """Add the columns of a call's end to its unit, in steps; if the answer cannot be parsed, at least its bytes.

    A stream that broke off after its last event, because an SDK leaves at `[DONE]` or at an error or because upstream
    closed, reached the client completely unless some bytes were still unsent. Such a call is completed, although the
    end of the transfer was missing.

    `path` is that of the request, `warnings` are those that the call already has, `hidden` its secrets. `coerced` means
    that the client gets the stream's answer in one piece.
    """
    warnings = [*warnings, *ended.warnings]
    if received is None:
        end(unit, UNANSWERED | ending_columns(ended, fields, warnings), hidden)
        return
    received = with_explained_end(received, ended)
    if ended.dropped:
        warnings.append(f"only the beginning of the answer is kept (setting max-body): {ended.dropped} bytes are not")
    try:
        reading = None if received.is_transcript else read(received, hidden, path=path, cut_at=ended.cut_at)
        if reading is None or (received.is_stream and (reading.has_secrets or not is_merged(reading))):
            del reading  # its events may take much memory
            received, reading = without_pieces(received, hidden, path, ended.cut_at)
        if ended.error_kind is not None:
            reading = reading._replace(has_end=True)  # a connection ended early: the server did not forget the end
        if reading.is_done and not (coerced or ended.unsent) and ended.error_kind in HARMLESS_AFTER_END:
            ended = structs.replace(ended, state=State.COMPLETED, error_kind=None, error_message=None)
        steps, body = read_columns(ended, received, reading, fields, warnings), reading.body
        columns = (yield from steps) if len(received.body) <= MAX_WAITING_SIZE else result_of(steps)
    except Exception as error:
        logger.exception("store: an answer could not be read because of a fault in MoonPalace; its bytes are kept")
        warnings.append(f"not read because of a fault in MoonPalace: {type(error).__name__}")
        columns = UNANSWERED | header_columns(received) | answered_columns(ended, received, fields, warnings)
        body = received.body
    yield
    unit.response_body = body
    if received.is_stream:
        unit.stream, unit.times = received.body, received.chunks
        unit.texts = texts_of(unit, hidden)
    end(unit, columns, hidden)


def at_once[**Given](take_steps: Callable[Given, Iterator[None]]) -> Callable[Given, None]:
    """Return a function that takes all steps of another one."""

    def run(*args: Given.args, **options: Given.kwargs) -> None:
        for _ in take_steps(*args, **options):
            pass

    return run


finish = at_once(finish_in_steps)


def result_of[Result](steps: Generator[None, None, Result]) -> Result:
    """Take all steps and return their result."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: Result = done.value
            return result


def with_explained_end(received: Received, ended: ExchangeEnded) -> Received:
    """Return an answer without the problem that its end is missing, if it was not kept or the call's state says why."""
    if ended.dropped:
        received = structs.replace(received, is_partial=True)
    if received.problem != encodings.TRUNCATED:
        return received
    is_explained = received.is_partial or ended.state not in (State.COMPLETED, State.UPSTREAM_FAILED)
    return structs.replace(received, problem=None) if is_explained else received


def end(unit: Unit, columns: Values, hidden: Sequence[bytes]) -> None:
    """Mark a call as over; its segments are not needed any more."""
    unit.change(columns, hidden)
    unit.segments = []
    unit.is_over = True


def texts_of(unit: Unit, hidden: Sequence[bytes]) -> str | None:
    """Return the texts of a stream that is not merged; without them, words split across events are not found."""
    try:
        return stream_texts.of_answer(unit.stream, unit.response_body, hidden)
    except Exception:
        logger.exception("store: the texts of the answer to call %s could not be put together", unit.uuid)
        return None


def is_merged(reading: Reading) -> bool:
    """Return whether all split texts are joined in the completion, where a split secret becomes visible."""
    # Of texts that contradict each other, only one is there. The few values that do not just continue a text are asked.
    return not reading.has_doubts and all(
        reading.face.joins(value) for _, value in reading.events if isinstance(value, dict)
    )


def without_pieces(
    received: Received, hidden: Sequence[bytes], path: str, cut_at: int | None
) -> tuple[Received, Reading]:
    """Return a stream with secrets masked that are split across events, and parse it again."""
    body, kinds = gate.masked_pieces(received.body, hidden)
    received = structs.replace(received, body=body, masked=(*received.masked, *kinds))
    reading = read(received, hidden, path=path, cut_at=cut_at)
    if reading.has_secrets:  # split in a way that only the merger can join
        received = structs.replace(received, body=gate.all_texts_masked(body))
    return received, reading


def read_columns(
    ended: ExchangeEnded, received: Received, reading: Reading, fields: Fields, warnings: Sequence[str]
) -> Generator[None, None, Values]:
    """Return the columns for the end of a call with a parsed answer, in steps."""
    yield
    columns = header_columns(received)
    yield
    summary = summarize(reading.completion, face=reading.face, failed=(received.status_code or 0) >= FIRST_ERROR)
    yield
    warnings = [*warnings, *warnings_of(ended, received, reading, fields, has_error=summary.error is not None)]
    yield
    columns |= answered_columns(ended, received, fields, warnings)
    columns |= reading_columns(reading, summary, received, ended.at)
    return columns


def warnings_of(
    ended: ExchangeEnded, received: Received, reading: Reading, fields: Fields, *, has_error: bool
) -> list[str]:
    """Return the warnings about a parsed answer."""
    masked = gate.warnings("answer", received.masked)
    warnings = [*masked, *reading.warnings, *silence_warning(ended, received)]
    is_all_there = ended.state is State.COMPLETED and reading.is_all and not received.is_partial
    if is_all_there and reading.is_cut:
        warnings.append(CUT_WARNING)
    if is_all_there and 100 <= (received.status_code or 0) < FIRST_REDIRECT:
        if not has_error:
            streamed = fields.get("stream") is True
            warnings += reading.face.warnings(fields, mapping(reading.completion), streamed=streamed)
        if not (reading.has_end or reading.is_cut):
            warnings.append(reading.face.no_end)
    return warnings


def silence_warning(ended: ExchangeEnded, received: Received) -> list[str]:
    """Return the warning for a stream that was silent before its end, with the side at fault."""
    last = received.chunks[-1][1] if received.chunks else received.at
    if not received.is_stream or received.is_transcript or last is None or ended.at - last < MIN_SILENCE:
        return []
    if received.is_partial:
        return []  # more has come that was not kept
    seconds = (ended.at - last) / 1e9
    if ended.unsent:
        return [f"the client took nothing more for the last {seconds:.1f} s, with {ended.unsent} bytes waiting for it"]
    return [f"nothing came from upstream for the last {seconds:.1f} s"]


def answered_columns(ended: ExchangeEnded, received: Received, fields: Fields, warnings: Sequence[str]) -> Values:
    """Return the columns for the end of a call with an answer, without those derived from its headers and content."""
    return {
        **ending_columns(ended, fields, warnings),
        "response_bytes": received_size(ended, received),
        "is_stream": received.is_stream,
    }


def received_size(ended: ExchangeEnded, received: Received) -> int | None:
    """Return the bytes of a decoded answer, with those that were not kept; None if these are known encoded only."""
    if not ended.dropped:
        return len(received.body)
    coding = named_headers(received.headers or "").get("content-encoding", "identity")
    return len(received.body) + ended.dropped if coding.lower() == "identity" else None


def ending_columns(ended: ExchangeEnded, fields: Fields, warnings: Sequence[str]) -> Values:
    """Return the columns that every ending fills."""
    return {
        "state": ended.state,
        "is_stream": fields.get("stream") is True,
        "latency": ended.at,
        "overhead": ended.overhead,
        "warnings": packed(first_warnings(warnings)),
        "error_kind": ended.error_kind,
        "error_message": ended.error_message,
        "cache_outcome": ended.cache_outcome,
    }


def reading_columns(reading: Reading, summary: Summary, received: Received, ended_at: int) -> Values:
    """Return the columns derived from the body of an answer; those of errors only if it names one."""
    face, usage = reading.face, summary.usage
    times = timing.measure(
        0,
        received.at,
        None if received.is_partial or received.is_transcript else ended_at,
        received.chunks,
        reading.events,
        usage.completion_tokens,
        received.is_stream,
        face.token_channel,
    )
    columns = {
        "chatcmpl_id": summary.id
        or next(filter(None, (face.answer_id(mapping(event)) for _, event in reading.events)), None),
        "model_answered": summary.model or None,
        "finish_reason": summary.finish_reason,
        **usage._asdict(),
        **times._asdict(),
    }
    if error := summary.error:
        columns["error_kind"] = quoted(error.kind or "error")
        if error.message is not None:
            columns["error_message"] = quoted(error.message, MAX_MESSAGE)
    return columns


def first_warnings(warnings: Sequence[str]) -> Sequence[str]:
    """Return the warnings of a call, of too many the first ones, and how many more there are."""
    more = len(warnings) - MAX_WARNINGS
    return warnings if more <= 0 else [*warnings[:MAX_WARNINGS], f"more warnings like these: {more}"]


def packed(texts: Sequence[str]) -> str | None:
    """Return texts as a JSON array, None if there are none."""
    return json.dumps(texts, ensure_ascii=False) if texts else None


def text_or_none(value: object) -> str | None:
    """Return a string unchanged, None for anything else."""
    return value if isinstance(value, str) else None
