"""The timeline of a stored stream: arrival, gap and content of each event."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from moonpalace_addons.views.durations import duration
from moonpalace_addons.views.stream_events import brought
from moonpalace_addons.wire.chat.event_data import make_decoder
from moonpalace_addons.wire.chat.timing import chunk_at
from moonpalace_addons.wire.faces.table import face_of
from moonpalace_addons.wire.json_value import parse
from moonpalace_addons.wire.sse import Decoder, Event
from moonpalace_addons.wire.websocket_events import NAMES, is_transcript

LONG = 40
"""Number of events from which runs of similar events are summarized."""
MIN_RUN_LENGTH = 4
STALLS_KEPT = 8
"""Number of longest gaps that always start a line of their own."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An event; times in nanoseconds, `at` since the request began and `gap` since the event before; None: unknown."""

    number: int
    at: int | None
    gap: int | None
    size: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive events shown in one line; at least one."""

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
        """Return the number of the event, or of the first and the last."""
        return str(self.first.number) if len(self.moments) == 1 else f"{self.first.number}-{self.last.number}"

    @property
    def times(self) -> str:
        """Return the time of the event, or of the first and the last; empty if unknown."""
        is_one = len(self.moments) == 1 or self.first.at == self.last.at
        return duration(self.first.at) if is_one else f"{duration(self.first.at)}-{duration(self.last.at)}"

    @property
    def kind(self) -> str:
        """Return the kind of the events, with their number."""
        return self.first.kind if len(self.moments) == 1 else f"{self.first.kind} x{len(self.moments)}"

    @property
    def text(self) -> str:
        """Return the content of the events as a string in JSON, with its line ends visible; empty for none."""
        text = "".join(moment.text for moment in self.moments)
        return json.dumps(text, ensure_ascii=False) if text else ""


def moments(stream: bytes, chunks: Sequence[tuple[int, int]], path: str, limit: int | None = None) -> list[Moment]:
    """Return the events of a stream, the first `limit` of them.

    `chunks` are (offset after the chunk, nanoseconds since the request began). `path` is that of the request, without
    its query.
    """
    decoder = make_decoder(limit=len(stream) + 1)
    events = [*islice(events_of(decoder, stream), limit)]
    names = NAMES if is_transcript(stream) else ()
    face = face_of(path, (parse(event.data) for event in events))
    offsets = [offset for offset, _ in chunks]
    found: list[Moment] = []
    end, before = 0, None
    for number, event in enumerate(events, 1):
        at = chunks[chunk_at(offsets, event.end)][1] if chunks else None
        gap = None if at is None or before is None else at - before
        what = brought(event, face)
        kind = f"{event.event}: {what.kind}" if event.event in names else what.kind
        found.append(Moment(number, at, gap, event.end - end, kind, what.text))
        end, before = event.end, at
    return found


def events_of(decoder: Decoder, stream: bytes) -> Iterator[Event]:
    """Yield the events of a stream, each when it is asked for."""
    yield from decoder.feed(stream)
    yield from decoder.close()


def longest(found: Sequence[Moment]) -> Moment | None:
    """Return the event after the longest gap; None if no time passed."""
    last = max(found, key=lambda moment: moment.gap or 0, default=None)
    return last if last is not None and last.gap else None


def runs(found: Sequence[Moment], *, every: bool = False) -> list[Run]:
    """Return the events one by one, or for a long stream grouped into runs of similar events.

    The event after a stall starts a new line, so that the longest gaps are all visible.
    """
    if every or len(found) <= LONG:
        return [Run((moment,)) for moment in found]
    gaps = sorted((moment.gap or 0 for moment in found), reverse=True)
    stall = max(1, gaps[min(STALLS_KEPT, len(gaps)) - 1])
    return list(gathered(found, stall))


def gathered(found: Sequence[Moment], stall: int) -> Iterator[Run]:
    """Yield runs of events of one kind without a gap of `stall` or more; short runs event by event."""
    start = 0
    for place in range(1, len(found) + 1):
        is_over = place == len(found) or found[place].kind != found[start].kind or (found[place].gap or 0) >= stall
        if not is_over:
            continue
        run = found[start:place]
        if len(run) < MIN_RUN_LENGTH:
            yield from (Run((moment,)) for moment in run)
        else:
            yield Run(tuple(run))
        start = place
