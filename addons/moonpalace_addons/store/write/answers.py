"""Parse answers: JSON as received, a stream as the completion that its events merge to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import msgspec

from moonpalace_addons.store.write import gate
from moonpalace_addons.wire import sse
from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.event_data import DONE_DATA, Data, DataReader, Value, in_runs, make_decoder
from moonpalace_addons.wire.chat.text_matcher import TextDelta, TextRun
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.faces.table import UNKNOWN, face_of, face_of_path
from moonpalace_addons.wire.forms import BOM, MAX_HEAD, Form, form_of
from moonpalace_addons.wire.json_value import MAX_PARSED_SIZE, dump_json, parse_bounded
from moonpalace_addons.wire.sse import BLANK_LINE
from moonpalace_addons.wire.websocket_events import is_transcript

MAX_EVENTS = 250_000
"""Maximum number of events of a stream that are parsed."""
MAX_VALUES = 32_000_000
"""Maximum bytes of events that are parsed into values, counting `VALUE_COST` for each list and object in them."""
VALUE_COST = 64
"""Approximate memory of an empty list or object; without it, tiny ones could take many times a stream's size."""
SLICE_SIZE = 65_536
SWITCHING = 101


class Received(msgspec.Struct, frozen=True, dict=True):
    """An answer as received, decoded and masked. Times are nanoseconds since the request began.

    `chunks` are (offset in `body` after the chunk, time); `problem` is an error of the encoding, `masked` the kinds of
    secrets that were masked; `is_partial` means that the end of the answer was not kept.
    """

    at: int | None
    status_code: int | None
    headers: str | None
    content_type: str | None
    body: bytes
    chunks: Sequence[tuple[int, int]]
    problem: str | None = None
    masked: tuple[str, ...] = ()
    is_partial: bool = False

    @cached_property
    def form(self) -> Form:
        """Return the form of the body, detected from its content."""
        return form_of(self.body[:MAX_HEAD], self.content_type, is_over=True) or Form.OTHER

    @cached_property
    def is_transcript(self) -> bool:
        """Return whether the answer is the messages of a WebSocket in both directions, which are of no face.

        Those of calls within it are in rows of their own: there may be no others, and the times between are unknown.
        """
        return is_transcript(self.body) or (self.status_code == SWITCHING and not self.body)

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
    that all events were parsed, `has_doubts` that they contradict each other.
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
    has_doubts: bool = False


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
    said = read_events(decoder, received.body, path, keep=not received.is_transcript)
    face = UNKNOWN if received.is_transcript else face_of(path, (value for _, value in said.values))
    merger, progress = face.make_merger(), face.make_progress()
    for value, error in in_runs(said.until(cut_at)):
        merger.feed(value, error)
        progress.feed(value, error)
    for value in progress.ending() if cut_at is not None else ():
        merger.feed(value)
    has_end = said.has_done or progress.is_done
    is_done = has_end or progress.is_complete
    warnings = encoding_warning(received)
    if decoder.overflowed:
        warnings.append("an event of the stream is too large to be read; its bytes are kept")
    if not said.is_all:
        warnings.append("the stream has too many events to be read to its end; its bytes are kept")
    if merger.is_empty:
        failure = next(({"error": error.member} for error in said.errors.values()), None)
        return Reading(face, failure, received.body, said.values, warnings, said.is_cut, is_done, is_all=said.is_all)
    if said.odd_count:
        warnings.append(f"events of the stream that are not JSON: {said.odd_count}")
    merged = merger.result()
    doubts = [f"merging the stream: {doubt}" for doubt in merger.doubts]
    body = dump_json(merged)
    masked, _ = gate.masked_body(body, hidden)
    return Reading(
        face,
        merged,
        masked,
        said.values,
        warnings + doubts,
        said.is_cut,
        is_done,
        has_end,
        has_secrets=masked != body,
        is_all=said.is_all,
        has_doubts=bool(doubts),
    )


@dataclass(slots=True)
class Said:
    """The content of a stream's events. The events themselves are not kept, which would take more memory.

    `values` are (end of the event in the body, value) in order; `errors` are those that values report, by the positions
    of these. `odd_count` counts the complete events that are not JSON, `is_cut` means that the last event is not
    complete, `is_all` that the limits allowed to read all events. Without `keep`, there are only values with errors.
    """

    values: list[tuple[int, object]] = field(default_factory=list)
    errors: dict[int, ApiError] = field(default_factory=dict)
    has_done: bool = False
    odd_count: int = 0
    is_cut: bool = False
    is_all: bool = True
    keep: bool = True

    def add(self, event: sse.Event, data: Data) -> None:
        """Add the content of one event."""
        self.has_done = self.has_done or data.is_done
        if data is DONE_DATA:
            return
        self.is_cut = not event.terminated
        self.odd_count += data.is_odd and event.terminated
        for value, error in data.values:
            if error is not None:
                self.errors[len(self.values)] = error
            if self.keep or error is not None:
                self.values.append((event.end, value))

    def add_run(self, run: TextRun, data: bytes, start: int) -> None:
        """Add the content of a run of events; `data` are their bytes, which begin at `start` in the body."""
        self.is_cut = False
        if self.keep:
            lengths = [len(event) + len(BLANK_LINE) for event in data.split(BLANK_LINE)[:-1]]
            deltas = [TextDelta(run.choice, run.channel, text) for text in run.texts]
            self.values += zip(accumulate([start + lengths[0], *lengths[1:]]), deltas, strict=True)

    def until(self, cut_at: int | None) -> Iterator[Value]:
        """Yield the values with their errors, up to an offset in the body if it is given."""
        for number, (end, value) in enumerate(self.values):
            if cut_at is None or end <= cut_at:
                yield value, self.errors.get(number)


def read_events(decoder: sse.Decoder, body: bytes, path: str = "", *, keep: bool = True) -> Said:
    """Return the content of a stream's events, within the limits; without `keep`, only the errors that they report.

    `path` is that of the request: what adds a text for another face adds none to its answer.
    """
    named = face_of_path(path)
    reader = DataReader() if named is UNKNOWN else DataReader(named.only_text)
    room, count, said, position = MAX_VALUES, 0, Said(keep=keep), 0
    for start in range(0, len(body), SLICE_SIZE):
        for part, run in reader.parts(decoder, body[start : start + SLICE_SIZE]):
            if run is not None:
                said.add_run(run, part, position)
                count += len(run.texts)
            for event in decoder.feed(part) if run is None else ():
                data = reader.read(event)
                said.add(event, data)
                count += 1
                if keep and not isinstance(data.values[0][0], TextDelta):
                    room -= len(event.data) + VALUE_COST * (event.data.count("{") + event.data.count("["))
            position += len(part)
        if count > MAX_EVENTS or room < 0:
            said.is_all = said.is_cut = False
            return said
    for event in decoder.close():
        said.add(event, reader.read(event))
    return said


def encoding_warning(received: Received) -> list[str]:
    """Return the warning for a body that could not be decoded completely."""
    return [f"the answer's encoding is broken: {received.problem}"] if received.problem else []
