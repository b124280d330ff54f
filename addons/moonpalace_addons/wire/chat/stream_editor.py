"""Edit a stream on its way to the client: cut it at a loop, merge it into one answer, or hide its usage.

Bytes that need no change pass unchanged, including comments and unusual line ends, and without delay: only an event
that may have to be removed is held back until it is complete.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.event_data import DataReader, make_decoder
from moonpalace_addons.wire.chat.text_matcher import TextRun
from moonpalace_addons.wire.codings.sniffer import Sniffer
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.forms import EVENT_STREAM, Form
from moonpalace_addons.wire.json_value import mapping
from moonpalace_addons.wire.loops.loop_guard import FoundLoop, LoopGuard
from moonpalace_addons.wire.sieve import Sieve
from moonpalace_addons.wire.sse import BLANK_LINE, Event


@dataclass(frozen=True, slots=True)
class Plan:
    """The edits to make to a stream of `face`; `make_guard` creates the loop guard, None disables it."""

    face: Face
    coerce: bool = False
    hide_usage: bool = False
    make_guard: Callable[[], LoopGuard] | None = None


class StreamEditor:
    """Turn decoded chunks of an event stream into the client's bytes, which `take` returns.

    `found` is set if a loop ended the stream; no output follows. After `close`, `is_whole` tells whether the answer is
    complete; with `coerce` there is no output before the end, and none unless it is complete. A body whose first bytes
    are not an event stream, whatever its `label`, `passes` unchanged. `is_odd` tells whether an event was unreadable,
    so that the merged answer lacks it.

    Memory: the last incomplete event, twice with `hide_usage`, and with `coerce` the merged answer. If `feed` or
    `close` raises, `rest` still returns every byte that was not taken.
    """

    def __init__(self, plan: Plan, label: str | None = EVENT_STREAM) -> None:
        self.found: FoundLoop | None = None
        self.passes = False
        self.is_odd = False
        self._is_cut = False
        self._sniffer: Sniffer | None = Sniffer(label)
        self._head = bytearray()
        self._guard = plan.make_guard() if plan.make_guard else None
        self._decoder = make_decoder()
        self._reader = DataReader(plan.face.only_text)
        self._face = plan.face
        self._merger = plan.face.make_merger() if plan.coerce else None
        self._sieve = Sieve() if plan.hide_usage else None
        self._ends: dict[int, bool] = {}
        self._passed = 0  # bytes of the stream before `_pending`
        self._pending = b""
        self._output = b""
        self._progress = plan.face.make_progress()

    @property
    def passed(self) -> int:
        """Return how many bytes of the stream count for the client: all bytes fed, or those up to the cut."""
        return self._passed

    @property
    def is_done(self) -> bool:
        """Tell whether no part of the answer can follow, because of `[DONE]` or an error."""
        return self._progress.is_done

    @property
    def is_complete(self) -> bool:
        """Tell whether no part of the answer is missing, its usage included."""
        return not self.passes and self.is_whole and self._progress.is_complete

    @property
    def has_content(self) -> bool:
        """Tell whether any part of an answer has arrived, beyond its announcement."""
        return self._progress.has_content

    @property
    def error(self) -> ApiError | None:
        """Return the error that the stream reported before it was over."""
        return self._progress.error

    @property
    def has_gap(self) -> bool:
        """Tell whether the merged answer lacks an event that was too long to be read."""
        return self._merger is not None and self._decoder.overflowed

    @property
    def is_whole(self) -> bool:
        """Tell whether the stream reported the end of its answer.

        A merged answer is whole only if every event was readable, and none reported an error.
        """
        if self.passes or self._merger is None:
            return self.passes or self._progress.is_whole
        is_broken = self._merger.is_empty or self.has_gap or self.is_odd or self._is_cut or self.error is not None
        return self._progress.is_whole and not is_broken

    def feed(self, data: bytes) -> None:
        """Add the next bytes."""
        if self.found is not None:
            return
        self._pending = data
        if self._sniffer is not None:
            self._sniff(self._sniffer, data)
        if self.passes:
            self._output += data
            self._pending = b""
            return
        if self._take_in(data):
            self._pass(len(data))

    def _take_in(self, data: bytes) -> bool:
        """Read the bytes, whole runs of events at once where possible; return False if the stream is over."""
        start = self._passed
        for part, run in self._reader.parts(self._decoder, data):
            if not (self._feed_events(part) if run is None else self._feed_run(run, part, start)):
                return False
            start += len(part)
        return True

    def _feed_run(self, run: TextRun, data: bytes, start: int) -> bool:
        count, found = self._guard.feed_run(run) if self._guard is not None else (len(run.texts), None)
        is_cut = count < len(run.texts)
        self._take_value(TextRun(run.choice, run.channel, run.texts[:count], 0) if is_cut else run)
        if found is not None:
            size = sum(len(event) + len(BLANK_LINE) for event in data.split(BLANK_LINE, count)[:count])
            self._cut(Event("", end=start + size), found)
        return found is None

    def _feed_events(self, data: bytes) -> bool:
        for event in self._decoder.feed(data):
            for chunk in self._read(event):
                if self._guard is not None and (found := self._guard.feed(chunk)):
                    self._cut(event, found)
                    return False
            if self._merger is not None and (self.is_odd or self.error is not None):
                return False  # no merged answer is possible any more
        return True

    def close(self) -> None:
        """End the stream; a loop in an incomplete last event is not cut."""
        if self.found is not None:
            return
        if self._sniffer is not None and self._sniffer.close() is not Form.EVENTS:
            self._pass_through()
        if self.passes:
            return
        for event in self._decoder.close():
            self._read(event)
        if self._sieve is not None:
            self._output += self._sieve.close(self._ends)
        if self._merger is not None and self.is_whole:
            self._output += self._merged()

    def take(self) -> bytes:
        """Return the output for the client so far."""
        output, self._output = self._output, b""
        return output

    def rest(self) -> bytes:
        """Return all bytes that were not taken, unedited, for the case that editing failed."""
        held = self._sieve.held if self._sieve is not None else b""
        return self._output + bytes(held) + self._pending

    def _sniff(self, sniffer: Sniffer, data: bytes) -> None:
        """Detect the form of the body; until it is known, treat it as an event stream."""
        form = sniffer.feed(data)
        if form is Form.EVENTS:
            self._sniffer = None
            self._head.clear()
        elif form is not None:
            self._pass_through()
        elif self._merger is not None:
            self._head += data

    def _pass_through(self) -> None:
        self._sniffer, self.passes = None, True
        self._output += self._sieve.close({}) if self._sieve is not None else bytes(self._head)
        self._head.clear()

    def _read(self, event: Event) -> list[object]:
        """Return the JSON values of an event."""
        data = self._reader.read(event)
        if data.is_odd and not self.is_done:
            self.is_odd, self._is_cut = self.is_odd or event.terminated, not event.terminated
        values = []
        for value, error in data.values:
            self._take_value(value, error)
            values.append(value)
        if data.is_done:
            self._progress.close()
        if self._sieve is not None:
            self._note_end(event, is_hidden=all(map(_is_usage_alone, values)) and not data.is_done)
        return values

    def _take_value(self, value: object, error: ApiError | None = None) -> None:
        self._progress.feed(value, error)
        if self._merger is not None:
            self._merger.feed(value, error)

    def _note_end(self, event: Event, *, is_hidden: bool) -> None:
        if is_hidden or event.unseparated:
            self._ends[event.end] = is_hidden

    def _pass(self, count: int) -> None:
        """Move the first pending bytes to the output, except those that are hidden, held back or merged."""
        if self._merger is None:
            passing = self._pending[:count]
            self._output += passing if self._sieve is None else self._sieve.feed(passing, self._ends)
        self._pending = self._pending[count:]
        self._passed += count
        self._ends.clear()

    def _cut(self, event: Event, found: FoundLoop) -> None:
        """End the stream after an event, in the grammar of its face."""
        # Everything that can fail comes first: a stream that cannot be cut goes on.
        values = self._progress.ending()
        ending = self._merged(values) if self._merger is not None else self._face.write_events(values)
        self._pass(event.end - self._passed)
        if event.unseparated and self._merger is None:
            # Its line end may have been taken already, and may be a lone CR, which an LF would only complete.
            self._output += (self._sieve.close(self._ends) if self._sieve is not None else b"") + b"\n\n"
        elif self._output.endswith(b"\r"):
            self._output += b"\n"  # completes a CRLF; after a lone CR it belongs to the same line end
        self._output += ending
        self._pending = b""
        self.found = found

    def _merged(self, more: Iterable[object] = ()) -> bytes:
        if self._merger is None:
            return b""
        for value in more:
            self._merger.feed(value)
        result = self._merger.result()
        try:
            return json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot encode
            return json.dumps(result, separators=(",", ":")).encode()


def _is_usage_alone(chunk: object) -> bool:
    known = mapping(chunk)
    return known.get("choices") == [] and isinstance(known.get("usage"), dict)


def merged(face: Face, stream: bytes) -> bytes | None:
    """Return the merged answer of a stream read from the start, None if it is not whole: used after editing failed."""
    editor = StreamEditor(Plan(face, coerce=True))
    editor.feed(stream)
    editor.close()
    return editor.take() if editor.is_whole else None
