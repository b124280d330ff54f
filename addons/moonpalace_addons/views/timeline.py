"""The timeline of a stored stream: arrival, gap and content of each event."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from moonpalace_addons.views.durations import duration
from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.chat.event_data import make_decoder
from moonpalace_addons.wire.chat.merging import DONE
from moonpalace_addons.wire.chat.timing import chunk_at
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.faces.table import face_of
from moonpalace_addons.wire.json_value import mapping, parse
from moonpalace_addons.wire.sse import Decoder, Event
from moonpalace_addons.wire.usage import of_answer
from moonpalace_addons.wire.websocket_events import NAMES, is_transcript

LONG = 40
"""Number of events from which runs of similar events are summarized."""
MIN_RUN_LENGTH = 4
STALLS_KEPT = 8
"""Number of the longest gaps; the event after each of them always starts a line."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An event.

    Times are in nanoseconds: `at` since the request began, `gap` since the previous event; None if unknown.
    """

    number: int
    at: int | None
    gap: int | None
    size: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive events shown in one line; there is at least one."""

    moments: tuple[Moment, ...]

    @property
    def first(self) -> Moment:
        """Return the first event."""
        return self.moments[0]

    @property
    def last(self) -> Moment:
        """Return the last event."""
        return self.moments[-1]

    @property
    def numbers(self) -> str:
        """Return the number of the event, or those of the first and the last event."""
        return str(self.first.number) if len(self.moments) == 1 else f"{self.first.number}-{self.last.number}"

    @property
    def times(self) -> str:
        """Return the time of the event, or those of the first and the last event; empty if unknown."""
        is_one = len(self.moments) == 1 or self.first.at == self.last.at
        return duration(self.first.at) if is_one else f"{duration(self.first.at)}-{duration(self.last.at)}"

    @property
    def kind(self) -> str:
        """Return the kind of the events, followed by their number."""
        return self.first.kind if len(self.moments) == 1 else f"{self.first.kind} x{len(self.moments)}"

    @property
    def text(self) -> str:
        """Return the content of the events as a JSON string, in which line ends are visible; empty if there is none."""
        text = "".join(moment.text for moment in self.moments)
        return json.dumps(text, ensure_ascii=False) if text else ""


def moments(stream: bytes, chunks: Sequence[tuple[int, int]], path: str, limit: int | None = None) -> list[Moment]:
    """Return the events of a stream, at most `limit`.

    `chunks` are pairs of the offset after the chunk and nanoseconds since the request began. `path` is that of the
    request, without its query.
    """
    decoder = make_decoder(limit=len(stream) + 1)
    events = [*islice(events_of(decoder, stream), limit)]
    names = NAMES if is_transcript(stream) else ()
    face = face_of(path, (parse(event.data) for event in events))
    offsets = [offset for offset, _ in chunks]
    timeline: list[Moment] = []
    end, before = 0, None
    for number, event in enumerate(events, 1):
        at = chunks[chunk_at(offsets, event.end)][1] if chunks else None
        gap = None if at is None or before is None else at - before
        content = event_content(event, face)
        kind = f"{event.event}: {content.kind}" if event.event in names else content.kind
        timeline.append(Moment(number, at, gap, event.end - end, kind, content.text))
        end, before = event.end, at
    return timeline


def events_of(decoder: Decoder, stream: bytes) -> Iterator[Event]:
    """Yield the events of a stream, decoding them one at a time."""
    yield from decoder.feed(stream)
    yield from decoder.close()


def longest(events: Sequence[Moment]) -> Moment | None:
    """Return the event after the longest gap, or None if all gaps are zero or unknown."""
    last = max(events, key=lambda moment: moment.gap or 0, default=None)
    return last if last is not None and last.gap else None


def runs(events: Sequence[Moment], *, every: bool = False) -> list[Run]:
    """Return the events one by one, or for a long stream grouped into runs of similar events.

    An event after a stall starts a new line, so that the longest gaps are all visible.
    """
    if every or len(events) <= LONG:
        return [Run((moment,)) for moment in events]
    gaps = sorted((moment.gap or 0 for moment in events), reverse=True)
    stall = max(1, gaps[min(STALLS_KEPT, len(gaps)) - 1])
    return list(gathered(events, stall))


def gathered(events: Sequence[Moment], stall: int) -> Iterator[Run]:
    """Yield runs of events of one kind without a gap of `stall` or more; a short run is split into single events."""
    start = 0
    for place in range(1, len(events) + 1):
        is_over = place == len(events) or events[place].kind != events[start].kind or (events[place].gap or 0) >= stall
        if not is_over:
            continue
        run = events[start:place]
        if len(run) < MIN_RUN_LENGTH:
            yield from (Run((moment,)) for moment in run)
        else:
            yield Run(tuple(run))
        start = place


@dataclass(frozen=True, slots=True)
class EventContent:
    """The content of an event: its kinds, joined by "+", and their joined text."""

    kind: str
    text: str


def event_content(event: Event, face: Face) -> EventContent:
    """Return the content of an event; never raise."""
    data = event.data
    if data.strip() == DONE:
        return EventContent("done", "")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return EventContent("error" if api_error.find_in_event(event, None) else "not JSON", data)
    fields = mapping(value)
    parts = [*face.event_parts(fields), *usage_parts(fields), *error_parts(event, value)] or [("empty", "")]
    kinds = dict.fromkeys(kind for kind, _ in parts)
    return EventContent("+".join(filter(None, kinds)) or "empty", " ".join(text for _, text in parts if text))


def error_parts(event: Event, value: object) -> Iterator[tuple[str, str]]:
    """Yield the error that the event reports."""
    if error := api_error.find_in_event(event, value):
        yield "error", str(error)


def usage_parts(event: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the tokens in the event."""
    usage = of_answer(event)
    if usage.prompt_tokens is not None or usage.completion_tokens is not None:
        yield "usage", f"{usage.prompt_tokens or 0} + {usage.completion_tokens or 0} tokens"
