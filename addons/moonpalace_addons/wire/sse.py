"""Decode server-sent events from bytes that may be cut anywhere.

The grammar is that of the WHATWG HTML standard, section 9.2 "Server-sent events". Lines are split on bytes and text is
decoded per event, so a chunk may cut a code point, a line end or the byte order mark. Notable rules:

    line ends     CR, LF or CRLF, freely mixed; a CR ends its line at once, and an LF that follows belongs to it
    event         its `data` lines joined by LF; without a `data` line nothing is dispatched
    `id`          stays in force for later events; a value that contains NUL is ignored
    `retry`       ASCII digits only; belongs to the event in whose lines it appears
    end           the standard drops an event without its blank line; here it is returned and marked

Some servers separate events by a single line end where the grammar requires a blank line. A caller that can tell from
one data line that an event is complete has such events split there.
"""

from collections.abc import Callable

import msgspec

DEFAULT_EVENT_LIMIT = 16 * 1024 * 1024
DATA, BLANK_LINE = b"data: ", b"\n\n"
"""Prefix and suffix of the data of nearly all events."""

_BOM = b"\xef\xbb\xbf"
_CR, _LF = b"\r", b"\n"
_LINE_ENDS = _CR + _LF
# Far above any time in milliseconds, and below the number of digits from which int() refuses to work.
_MAX_RETRY_DIGITS = 18
# Replaces a line that was too long: as a comment, so that the rest of the line is ignored with it.
_DROPPED_LINE = b":"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event. It is a struct because creating a frozen dataclass costs more than reading its bytes.

    `id` is the last event ID in force (None before the first one); `retry` is in milliseconds.
    `end` counts the bytes of the stream up to and including the byte that completed the event. For a CRLF that is the
    CR, because an event never waits for an LF that may not come; so `end` does not depend on how the stream was cut.
    `terminated` is False for a last event that the stream left without its blank line: its data may be incomplete.
    `unseparated` is True for an event that had no blank line but was recognized as complete when the next line began;
    `end` is the start of that line.
    """

    data: str
    event: str = "message"
    id: str | None = None
    retry: int | None = None
    end: int = 0
    terminated: bool = True
    unseparated: bool = False


class Decoder:
    """Turn chunks of bytes into events, in time linear in the number of bytes.

    `limit` bounds the bytes of the lines of one event, and with it the memory in use. Comments do not add up, but each
    is bounded too. An event past the limit is dropped, `overflowed` becomes and stays True, and decoding continues
    after the next blank line. Bytes that are not UTF-8 become U+FFFD. Nothing is raised.

    `is_whole` tells whether a data line is an event by itself, so that the next line begins another one. It is only
    called if an event does not end after its first data line. The event's name then stays in force for the next event.
    """

    def __init__(self, limit: int = DEFAULT_EVENT_LIMIT, is_whole: Callable[[bytes], bool] | None = None) -> None:
        self.overflowed = False
        self._limit = limit
        self._is_whole = is_whole
        self._fed = 0
        self._at_start = True
        self._after_cr = False
        self._rest = bytearray()
        self._last_id: str | None = None
        self._data: list[bytes] = []
        self._type = b""
        self._retry: int | None = None
        self._size = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that `chunk` completes, in order."""
        self._fed += len(chunk)
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(_LF)
        if not self._at_start and _LF not in chunk and _CR not in chunk:
            events = self._split_unseparated(self._fed - len(chunk)) if chunk and not self._rest else []
            self._hold(chunk)
            return events
        text = bytes(self._rest) + chunk if self._rest else chunk
        return self._read_lines(self._without_bom(text) if self._at_start else text)

    def may_skip(self, chunk: bytes) -> bool:
        """Return whether the caller may read the events in `chunk` itself and call `skip` instead of `feed`."""
        return not (self._rest or self._at_start or self._after_cr) and self._is_plain and len(chunk) <= self._limit

    def skip(self, count: int) -> None:
        """Advance past complete events with LF line ends, `count` bytes long, that the caller has read itself."""
        self._fed += count

    @property
    def _is_plain(self) -> bool:
        return not (self._size or self._type or self._skipping or self._retry is not None)

    def close(self) -> list[Event]:
        """Return the event that the stream ended in, if any, marked as not terminated; feed nothing afterwards."""
        line = self._without_bom(bytes(self._rest))
        self._rest.clear()
        if line and not self._skipping:
            self._read_field(line)
        if not self._data:
            return []
        event = self._make_event(self._fed, terminated=False)
        self._begin_event()
        return [event]

    def _without_bom(self, text: bytes) -> bytes:
        if not self._at_start or _BOM.startswith(text):
            return text
        self._at_start = False
        return text.removeprefix(_BOM)

    def _read_lines(self, text: bytes) -> list[Event]:
        events, text = self._read_ordinary(text)
        if not text:  # as after nearly every chunk; `text` included all held bytes
            self._rest.clear()
            return events
        # bytes.splitlines() splits at exactly the three line ends of the grammar.
        lines = text.splitlines(keepends=True)
        position = self._fed - len(text)
        rest = lines.pop() if lines and not lines[-1].endswith((_CR, _LF)) else b""
        self._after_cr = text.endswith(_CR)
        for line in lines:
            if line[0] in _LINE_ENDS:
                if self._data:
                    events.append(self._make_event(position + 1))
                self._begin_event()
            else:
                events += self._split_unseparated(position) if self._data else ()
                if not self._skipping:
                    self._read_field(line.rstrip(_LINE_ENDS))
            position += len(line)
        events += self._split_unseparated(position) if self._data and rest else ()
        self._rest.clear()
        self._hold(rest)
        return events

    def _split_unseparated(self, position: int) -> list[Event]:
        """Return the event that ends where a non-blank line begins, if there is one."""
        if self._is_whole is None or len(self._data) != 1 or not self._is_whole(self._data[0]):
            return []
        event, name = self._make_event(position, unseparated=True), self._type
        self._begin_event()
        self._type = name
        return [event]

    def _read_ordinary(self, text: bytes) -> tuple[list[Event], bytes]:
        """Return the leading events that have a single `data: …` line and LF line ends, and the rest of the text.

        Nearly all events are like this. The result is the same as reading line by line, at a quarter of the cost.
        """
        events = list[Event]()
        if not self._is_plain or _CR in text:
            return events, text
        position, base = 0, self._fed - len(text)
        while (end := text.find(BLANK_LINE, position)) >= 0:
            data = text[position + len(DATA) : end]
            if not text.startswith(DATA, position) or _LF in data or len(data) > self._limit - len(DATA):
                break
            position = end + len(BLANK_LINE)
            events.append(Event(data.decode("utf-8", "replace"), id=self._last_id, end=base + position))
        return events, text[position:]

    def _hold(self, part: bytes) -> None:
        self._rest += part
        if self._size + len(self._rest) > self._limit:
            self._drop_event()
            self._rest[:] = _DROPPED_LINE

    def _read_field(self, line: bytes) -> None:
        size = self._size + len(line)
        if size > self._limit:
            self._drop_event()
            return
        name, _, value = line.partition(b":")
        if not name:
            return
        self._size = size
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value
        elif name == b"id" and b"\0" not in value:
            self._last_id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
            self._retry = int(value)

    def _make_event(self, end: int, *, terminated: bool = True, unseparated: bool = False) -> Event:
        return Event(
            data=_LF.join(self._data).decode("utf-8", "replace"),
            event=self._type.decode("utf-8", "replace") or "message",
            id=self._last_id,
            retry=self._retry,
            end=end,
            terminated=terminated,
            unseparated=unseparated,
        )

    def _begin_event(self) -> None:
        self._data = []
        self._type = b""
        self._retry = None
        self._size = 0
        self._skipping = False

    def _drop_event(self) -> None:
        self.overflowed = True
        self._begin_event()
        self._skipping = True
