"""Remove events from a stream, and pass all other bytes on unchanged and without delay."""

from collections.abc import Mapping

from moonpalace_addons.wire.sse import DEFAULT_EVENT_LIMIT


class Sieve:
    """Filter a stream: hold back what may belong to a hidden event until the event is complete.

    Comments and blank lines between events are never held back, and comments within a hidden event stay. An event
    longer than the decoder's limit is never read, so it is not held back beyond that limit either.

    `ends` maps positions in the stream where an event ends to whether it is hidden; an event that is not hidden is
    listed only if no blank line follows it.
    """

    def __init__(self) -> None:
        self.held = bytearray()
        self._position = 0
        self._at_line_start = True
        self._after_cr = False
        self._has_hidden = False  # whether the line end just read ended a hidden event
        self._overflowed = False

    def feed(self, data: bytes, ends: Mapping[int, bool]) -> bytes:
        """Return the bytes that pass."""
        # bytes.splitlines() splits at exactly the line ends of event streams.
        output = b"".join(self._take(line, ends) for line in data.splitlines(keepends=True))
        if len(self.held) > DEFAULT_EVENT_LIMIT:
            self._overflowed = True
        if self._overflowed:
            output += self._release()
        return output

    def close(self, ends: Mapping[int, bool]) -> bytes:
        """Return the held bytes, unless they are a hidden event without its blank line."""
        return self._release(hide=ends.get(self._position, False))

    def _take(self, line: bytes, ends: Mapping[int, bool]) -> bytes:
        """Return the bytes that pass after a line, or part of a line, including any event that ended before it."""
        parted = self._release(hide=ends[self._position]) if self.held and self._position in ends else b""
        return parted + self._take_line(line, ends)

    def _take_line(self, line: bytes, ends: Mapping[int, bool]) -> bytes:
        begins, after_cr = self._at_line_start, self._after_cr
        # The decoder ends an event with the first byte of its blank line, which may be the CR of a CRLF.
        end = self._position + 1
        self._position += len(line)
        self._at_line_start = line.endswith((b"\n", b"\r"))
        self._after_cr = line.endswith(b"\r")
        if after_cr and line == b"\n":
            return self._take_other_half(line)
        if begins and line[0] in b"\r\n":
            self._has_hidden = ends.get(end, False) and not self._overflowed
            self._overflowed = False
            return self._release(hide=self._has_hidden) + (b"" if self._has_hidden else line)
        self._has_hidden = False
        if self.held or (begins and line[0] != ord(":")):
            self.held += line
            return b""
        return line

    def _take_other_half(self, line: bytes) -> bytes:
        """Return the output for an LF that follows a CR: it is treated like the CR."""
        if self.held:
            self.held += line
            return b""
        return b"" if self._has_hidden else line

    def _release(self, *, hide: bool = False) -> bytes:
        lines = self.held.splitlines(keepends=True) if hide else [self.held]
        output = b"".join(line for line in lines if not hide or line.startswith(b":"))
        self.held.clear()
        return output
