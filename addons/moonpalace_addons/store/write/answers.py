"""Parse answers: JSON as received, a stream as the completion that its events merge to."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from moonpalace_addons.store.write import gate
from moonpalace_addons.wire import sse
from moonpalace_addons.wire.chat.event_data import DONE_DATA, Data, DataReader, in_runs, make_decoder
from moonpalace_addons.wire.chat.text_matcher import TextDelta
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.faces.table import face_of
from moonpalace_addons.wire.forms import BOM, MAX_HEAD, Form, form_of
from moonpalace_addons.wire.json_value import MAX_PARSED_SIZE, dump_json, parse_bounded

MAX_EVENTS = 250_000
"""Maximum number of events of a stream that are parsed."""
MAX_VALUES = 32_000_000
"""Maximum bytes of events that are parsed into values, counting `VALUE_COST` for each list and object in them."""
VALUE_COST = 64
"""Approximate memory of an empty list or object; without it, tiny ones could take many times a stream's size."""
SLICE_SIZE = 65_536


@dataclass(frozen=True)
class Received:
    """An answer as received, decoded and masked. Times are nanoseconds since the request began.

    `chunks` are (offset in `body` after the chunk, time); `problem` is an error of the encoding, `masked` the kinds of
    secrets that were masked; `is_partial` means that the end of the answer was not kept.
    """

    at: int | None
    status_code: int | None
    headers: str | None
    content_type: str | None
    body: bytes
    chunks: list[tuple[int, int]]
    problem: str | None = None
    masked: tuple[str, ...] = ()
    is_partial: bool = False

    @cached_property
    def form(self) -> Form:
        """Return the form of the body, detected from its content."""
        return form_of(self.body[:MAX_HEAD], self.content_type, is_over=True) or Form.OTHER

    @cached_property
    def is_stream(self) -> bool:
        """Return whether the answer is an event stream, whatever was requested."""
        return self.form is Form.EVENTS


class Reading(NamedTuple):
    """A parsed answer of `face`; `body` is stored as the answer.

    `is_cut` means that a stream ended without the blank line after its last event; `[DONE]` needs none. `is_done` means
    that it reached the event after which clients stop reading, such as an error, or that nothing was left to be sent:
    all parts of the answer had ended, and the usage had been sent. `has_end` means that it had the event or mark that
    ends streams of its face, or an error. `has_secrets` means that merging joined secrets in `completion`, `is_all`
    that all events were parsed.
    """

    face: Face
    completion: object
    body: bytes
    events: list[tuple[int, object]]
    warnings: list[str]
    is_cut: bool = False
    is_done: bool = False
    has_end: bool = True
    has_secrets: bool = False
    is_all: bool = True


def read(received: Received, hidden: Sequence[bytes], *, path: str = "", cut_at: int | None = None) -> Reading:
    """Parse an answer; `hidden` are the secrets, which may be joined only by merging a stream.

    `path` is that of the request, without its query.

    `cut_at` is the offset at which we ended a looping stream; the merged answer is what the client got, with our finish
    reason.
    """
    return read_stream(received, hidden, path, cut_at) if received.is_stream else read_body(received, path)


def read_body(received: Received, path: str) -> Reading:
    """Parse an answer that is not a stream."""
    warnings = encoding_warning(received)
    is_json = received.form is Form.JSON
    if is_json and len(received.body) > MAX_PARSED_SIZE:
        warnings.append("the answer is too large to be read as a whole; its bytes are kept")
    answer = parse_bounded(received.body.removeprefix(BOM)) if is_json else None
    return Reading(face_of(path, [answer]), answer, received.body, [], warnings)


def read_stream(received: Received, hidden: Sequence[bytes], path: str, cut_at: int | None = None) -> Reading:
    """Parse a stream: its events, and the answer that they merge to."""
    decoder = make_decoder()
    events, is_all = read_events(decoder, received.body)
    has_done = any(data.is_done for _, data in events)
    events = [(event, data) for event, data in events if data is not DONE_DATA]
    said = [(event.end, value, error) for event, data in events for value, error in data.values]
    parsed = [(end, value) for end, value, _ in said]
    is_cut = is_all and bool(events) and not events[-1][0].terminated
    face = face_of(path, (value for _, value in parsed))
    merger, progress = face.make_merger(), face.make_progress()
    for value, error in in_runs((value, error) for end, value, error in said if cut_at is None or end <= cut_at):
        merger.feed(value, error)
        progress.feed(value, error)
    for value in progress.ending() if cut_at is not None else ():
        merger.feed(value)
    has_end = has_done or progress.is_done
    is_done = has_end or progress.is_complete
    warnings = encoding_warning(received)
    if decoder.overflowed:
        warnings.append("an event of the stream is too large to be read; its bytes are kept")
    if not is_all:
        warnings.append("the stream has too many events to be read to its end; its bytes are kept")
    if merger.is_empty:
        failure = next(({"error": error.member} for _, _, error in said if error), None)
        return Reading(face, failure, received.body, parsed, warnings, is_cut, is_done, is_all=is_all)
    warnings += odd_events(events)
    merged = merger.result()
    warnings += [f"merging the stream: {doubt}" for doubt in merger.doubts]
    body = dump_json(merged)
    masked, _ = gate.masked_body(body, hidden)
    return Reading(face, merged, masked, parsed, warnings, is_cut, is_done, has_end, masked != body, is_all)


def read_events(decoder: sse.Decoder, body: bytes) -> tuple[list[tuple[sse.Event, Data]], bool]:
    """Return the parsed events of a stream, and whether these are all within the limits."""
    reader, room = DataReader(), MAX_VALUES
    events = list[tuple[sse.Event, Data]]()
    for start in range(0, len(body), SLICE_SIZE):
        for event in decoder.feed(body[start : start + SLICE_SIZE]):
            data = reader.read(event)
            events.append((event, data))
            if not isinstance(data.values[0][0], TextDelta):
                room -= len(event.data) + VALUE_COST * (event.data.count("{") + event.data.count("["))
        if len(events) > MAX_EVENTS or room < 0:
            return events, False
    return [*events, *((event, reader.read(event)) for event in decoder.close())], True


def encoding_warning(received: Received) -> list[str]:
    """Return the warning for a body that could not be decoded completely."""
    return [f"the answer's encoding is broken: {received.problem}"] if received.problem else []


def odd_events(events: Sequence[tuple[sse.Event, Data]]) -> list[str]:
    """Return the warning for complete events of a stream that are not JSON."""
    odd = sum(data.is_odd and event.terminated for event, data in events)
    return [f"events of the stream that are not JSON: {odd}"] if odd else []
