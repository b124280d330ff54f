"""Change a chat stream on its way to the client: cut it at a loop, merge it to one answer, or hide its usage.

Bytes that need no change come out as they went in, comments and odd line ends included, and as early: an event that is
held back until it is complete is one that may have to go.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from moonpalace_addons.wire.chat import DONE, Merger, parse_data
from moonpalace_addons.wire.completion import choices, mapping
from moonpalace_addons.wire.loop_guard import Found, LoopGuard
from moonpalace_addons.wire.pieces import index_of
from moonpalace_addons.wire.sse import Decoder, Event

REPEAT = "repeat"
_TOP = ("id", "object", "created", "model", "system_fingerprint")


@dataclass(frozen=True, slots=True)
class Plan:
    """Say what is to be done with a stream; `make_guard` makes the loop guard, None for no guard."""

    coerce: bool = False
    hide_usage: bool = False
    make_guard: Callable[[], LoopGuard] | None = None


class StreamEditor:
    """Turn decoded chunks of an event stream into what the client gets, to be fetched with `take`.

    `found` is set when a loop ended the stream: nothing comes after that. `is_whole` tells after `close` whether the
    answer came to its end. Memory: the last incomplete event, and with `coerce` the merged answer.
    """

    def __init__(self, plan: Plan) -> None:
        self.found: Found | None = None
        self._plan = plan
        self._guard = plan.make_guard() if plan.make_guard else None
        self._decoder = Decoder()
        self._merger = Merger() if plan.coerce else None
        self._pending = bytearray()
        self._offset = 0  # of the first pending byte in the stream
        self._output = bytearray()
        self._progress = _Progress()

    @property
    def is_whole(self) -> bool:
        """Tell whether the stream said that it is over: by `[DONE]`, a reason for every choice, or an error."""
        return self._progress.is_whole

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        if self.found is None:
            self._pending += data
            self._read(self._decoder.feed(data), final=False)

    def close(self) -> None:
        """Take note of the clean end of the stream."""
        if self.found is None:
            self._read(self._decoder.close(), final=True)
            if self._merger is not None and self.found is None:
                self._output += self._merged()

    def take(self) -> bytes:
        """Return what the client gets now."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def rest(self) -> bytes:
        """Return all that has not been taken, unedited: for the case that editing failed half-way."""
        return self.take() + bytes(self._pending)

    def _read(self, events: list[Event], *, final: bool) -> None:
        for event in events:
            chunk = parse_data(event.data)
            self._progress.feed(event, chunk)
            self._release(event.end, hidden=self._plan.hide_usage and _is_usage_alone(chunk))
            if self._merger is not None:
                self._merger.feed(chunk)
            if self._guard is not None and (found := self._guard.feed(chunk)):
                self.found = found
                self._end()
                return
        # An event past the decoder's bound is not read; waiting for its end would only pile it up.
        if final or not self._plan.hide_usage or self._decoder.overflowed:
            self._release(self._offset + len(self._pending), hidden=False)

    def _release(self, end: int, *, hidden: bool) -> None:
        """Move the pending bytes up to an offset in the stream to the output, unless they are to be hidden."""
        count = end - self._offset
        if count <= 0:
            return
        if not hidden and self._merger is None:
            self._output += self._pending[:count]
        del self._pending[:count]
        self._offset = end

    def _end(self) -> None:
        """Put the end of a stream that a loop has ended out: a reason for every open choice, and `[DONE]`."""
        chunks = [self._progress.final_chunk(choice) for choice in self._progress.open_choices]
        if self._merger is not None:
            for chunk in chunks:
                self._merger.feed(chunk)
            self._output += self._merged()
            return
        # The rest of a CRLF is still pending: without it, a strict reader would see half a line end.
        self._output += b"\n" if self._pending[:1] == b"\n" else b""
        self._pending.clear()
        lines = [json.dumps(chunk, ensure_ascii=False, separators=(",", ":")) for chunk in chunks]
        self._output += "".join(f"data: {line}\n\n" for line in [*lines, DONE]).encode("utf-8", "replace")

    def _merged(self) -> bytes:
        result = self._merger.result() if self._merger is not None else {}
        try:
            return json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError:  # half a surrogate pair, for which UTF-8 has no bytes
            return json.dumps(result, separators=(",", ":")).encode()


class _Progress:
    """Know which choices of a stream are open, and what its chunks have in common."""

    def __init__(self) -> None:
        self._top: dict[str, object] = {}
        self._finished: dict[int, bool] = {}
        self._is_done = False

    @property
    def is_whole(self) -> bool:
        return self._is_done or (bool(self._finished) and all(self._finished.values()))

    @property
    def open_choices(self) -> list[int]:
        return sorted(index for index, finished in self._finished.items() if not finished)

    def feed(self, event: Event, chunk: object) -> None:
        if event.data.strip() == DONE or mapping(chunk).get("error"):
            self._is_done = True
        known: Mapping[str, object] = mapping(chunk)
        for name in _TOP:
            if name in known:
                self._top.setdefault(name, known[name])
        for position, choice in enumerate(choices(known)):
            index = index_of(choice)
            number = position if index is None else index
            self._finished[number] = self._finished.get(number, False) or choice.get("finish_reason") is not None

    def final_chunk(self, choice: int) -> dict[str, object]:
        return {**self._top, "choices": [{"index": choice, "delta": {}, "finish_reason": REPEAT}]}


def _is_usage_alone(chunk: object) -> bool:
    known = mapping(chunk)
    return known.get("choices") == [] and isinstance(known.get("usage"), dict)


def merged(stream: bytes) -> bytes:
    """Return the merged answer of a whole stream, read anew: for the case that editing it failed half-way."""
    editor = StreamEditor(Plan(coerce=True))
    editor.feed(stream)
    editor.close()
    return editor.take()
