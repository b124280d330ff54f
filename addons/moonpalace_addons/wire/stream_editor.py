"""Change a chat stream on its way to the client: cut it at a loop, merge it to one answer, or hide its usage.

Bytes that need no change come out as they went in, comments and odd line ends included, and as early: an event that is
held back until it is complete is one that may have to go.
"""

import json
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass

from moonpalace_addons.wire import api_error
from moonpalace_addons.wire.api_error import ApiError
from moonpalace_addons.wire.chat import DONE, Merger, parse_data
from moonpalace_addons.wire.completion import choices
from moonpalace_addons.wire.json_value import mapping
from moonpalace_addons.wire.loop_guard import Found, LoopGuard
from moonpalace_addons.wire.pieces import index_of
from moonpalace_addons.wire.sse import DEFAULT_LIMIT, Decoder, Event

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
    answer came to its end; with `coerce` there is no output before the end, and none at all unless it is whole.

    Memory: the last incomplete event, twice with `hide_usage`, and with `coerce` the merged answer. Whatever is raised
    in the middle of `feed` or `close`, `rest` still knows every byte that was not taken.
    """

    def __init__(self, plan: Plan) -> None:
        self.found: Found | None = None
        self._guard = plan.make_guard() if plan.make_guard else None
        self._decoder = Decoder()
        self._merger = Merger() if plan.coerce else None
        self._sieve = _Sieve() if plan.hide_usage else None
        self._hidden: set[int] = set()
        self._passed = 0  # bytes of the stream before `_pending`
        self._pending = b""
        self._output = bytearray()
        self._progress = _Progress()

    @property
    def passed(self) -> int:
        """Return how many bytes of the stream count for the client: all that were fed, or those up to the cut."""
        return self._passed

    @property
    def is_done(self) -> bool:
        """Tell whether nothing of the answer can follow: there was `[DONE]`, or an error."""
        return self._progress.is_done

    @property
    def is_complete(self) -> bool:
        """Tell whether nothing of the answer is missing, though the stream may go on: each end and the usage came."""
        return self.is_whole and (self.is_done or self._progress.has_usage)

    @property
    def has_gap(self) -> bool:
        """Tell whether what is merged lacks an event: one that was too long to be read."""
        return self._merger is not None and self._decoder.overflowed

    @property
    def is_whole(self) -> bool:
        """Tell whether the stream said that it is over: by `[DONE]`, a reason for every choice, or an error."""
        is_empty = self._merger is not None and self._merger.is_empty
        return self._progress.is_whole and not (is_empty or self.has_gap)

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        if self.found is not None:
            return
        self._pending = data
        for event in self._decoder.feed(data):
            chunk = self._read(event)
            if self._guard is not None and (found := self._guard.feed(chunk)):
                self._cut(event.end - self._passed, found)
                return
        self._pass(len(data))

    def close(self) -> None:
        """Take note of the clean end of the stream; a loop in an event that it left incomplete is none to interrupt."""
        if self.found is not None:
            return
        for event in self._decoder.close():
            self._read(event)
        if self._sieve is not None:
            self._output += self._sieve.close(self._hidden)
        if self._merger is not None and self.is_whole:
            self._output += self._merged()

    def take(self) -> bytes:
        """Return what the client gets now."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def rest(self) -> bytes:
        """Return all that has not been taken, unedited: for the case that editing failed half-way."""
        held = self._sieve.held if self._sieve is not None else b""
        return bytes(self._output) + bytes(held) + self._pending

    def _read(self, event: Event) -> object:
        chunk = parse_data(event.data)
        error = api_error.of_event(event, chunk)
        self._progress.feed(event, chunk, error)
        if self._merger is not None:
            self._merger.feed(chunk, error)
        if self._sieve is not None and _is_usage_alone(chunk):
            self._hidden.add(event.end)
        return chunk

    def _pass(self, count: int) -> None:
        """Move the first pending bytes to the output, except for what is hidden, withheld or merged."""
        if self._merger is None:
            passing = self._pending[:count]
            self._output += passing if self._sieve is None else self._sieve.feed(passing, self._hidden)
        self._pending = self._pending[count:]
        self._passed += count
        self._hidden.clear()

    def _cut(self, count: int, found: Found) -> None:
        """End the stream after the first pending bytes: a reason for every open choice, and `[DONE]`."""
        # All that can fail comes first: a stream that cannot be cut goes on.
        chunks = [self._progress.final_chunk(choice) for choice in self._progress.open_choices]
        ending = self._merged(chunks) if self._merger is not None else _events(chunks)
        self._pass(count)
        if self._output.endswith(b"\r"):
            self._output += b"\n"  # the other half of a CRLF; after a lone CR it belongs to the same line end
        self._output += ending
        self._pending = b""
        self.found = found

    def _merged(self, more: Iterable[object] = ()) -> bytes:
        if self._merger is None:
            return b""
        for chunk in more:
            self._merger.feed(chunk)
        result = self._merger.result()
        try:
            return json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError:  # half a surrogate pair, for which UTF-8 has no bytes
            return json.dumps(result, separators=(",", ":")).encode()


class _Sieve:
    """Let a stream pass but for some events: what may belong to one is held back until the event is complete.

    Comments and blank lines between events are never held back, and the comments within a hidden event stay. An event
    longer than the decoder's bound is never read, so it is not held back any longer than that either.
    """

    def __init__(self) -> None:
        self.held = bytearray()
        self._position = 0
        self._at_line_start = True
        self._after_cr = False
        self._has_hidden = False  # whether the line end just read ended a hidden event
        self._overflowed = False

    def feed(self, data: bytes, hidden: Container[int]) -> bytes:
        """Return what passes of the next bytes; `hidden` are the places in the stream where hidden events end."""
        # Of bytes, splitlines() knows exactly the line ends of event streams.
        output = b"".join(self._take(line, hidden) for line in data.splitlines(keepends=True))
        if len(self.held) > DEFAULT_LIMIT:
            self._overflowed = True
        if self._overflowed:
            output += self._release()
        return output

    def close(self, hidden: Container[int]) -> bytes:
        """Return what was held back, unless it is an event without its blank line that is to be hidden."""
        return self._release(hide=self._position in hidden)

    def _take(self, line: bytes, hidden: Container[int]) -> bytes:
        """Return what passes with a line, or with a part of one."""
        begins, after_cr = self._at_line_start, self._after_cr
        # A decoder has an event end with the first byte of its blank line, be it the CR of a CRLF.
        end = self._position + 1
        self._position += len(line)
        self._at_line_start = line.endswith((b"\n", b"\r"))
        self._after_cr = line.endswith(b"\r")
        if after_cr and line == b"\n":
            return self._take_other_half(line)
        if begins and line[0] in b"\r\n":
            self._has_hidden = end in hidden and not self._overflowed
            self._overflowed = False
            return self._release(hide=self._has_hidden) + (b"" if self._has_hidden else line)
        self._has_hidden = False
        if self.held or (begins and line[0] != ord(":")):
            self.held += line
            return b""
        return line

    def _take_other_half(self, line: bytes) -> bytes:
        """Return what passes of an LF whose CR came before it: it shares the CR's fate."""
        if self.held:
            self.held += line
            return b""
        return b"" if self._has_hidden else line

    def _release(self, *, hide: bool = False) -> bytes:
        lines = self.held.splitlines(keepends=True) if hide else [self.held]
        output = b"".join(line for line in lines if not hide or line.startswith(b":"))
        self.held.clear()
        return output


class _Progress:
    """Know which choices of a stream are open, and what its chunks have in common."""

    def __init__(self) -> None:
        self._top: dict[str, object] = {}
        self._finished: dict[int, bool] = {}
        self.is_done = False
        self.has_usage = False

    @property
    def is_whole(self) -> bool:
        return self.is_done or (bool(self._finished) and all(self._finished.values()))

    @property
    def open_choices(self) -> list[int]:
        return sorted(index for index, finished in self._finished.items() if not finished)

    def feed(self, event: Event, chunk: object, error: ApiError | None) -> None:
        if event.data.strip() == DONE or (error is not None and error.ends):
            self.is_done = True
        known: Mapping[str, object] = mapping(chunk)
        self.has_usage = self.has_usage or bool(known.get("usage"))
        for name in _TOP:
            if name in known:
                self._top.setdefault(name, known[name])
        for position, choice in enumerate(choices(known)):
            index = index_of(choice)
            number = position if index is None else index
            self.has_usage = self.has_usage or bool(choice.get("usage"))
            self._finished[number] = self._finished.get(number, False) or bool(choice.get("finish_reason"))

    def final_chunk(self, choice: int) -> dict[str, object]:
        return {**self._top, "choices": [{"index": choice, "delta": {}, "finish_reason": REPEAT}]}


def _is_usage_alone(chunk: object) -> bool:
    known = mapping(chunk)
    return known.get("choices") == [] and isinstance(known.get("usage"), dict)


def _events(chunks: Iterable[object]) -> bytes:
    lines = [json.dumps(chunk, ensure_ascii=False, separators=(",", ":")) for chunk in chunks]
    return "".join(f"data: {line}\n\n" for line in [*lines, DONE]).encode("utf-8", "replace")


def merged(stream: bytes) -> bytes | None:
    """Return the merged answer of a stream, read anew, None if it is not whole: for when editing it failed half-way."""
    editor = StreamEditor(Plan(coerce=True))
    editor.feed(stream)
    editor.close()
    return editor.take() if editor.is_whole else None
