"""Read the body of a chunked transfer (RFC 9112, section 7.1) as far as it is plain: chunks with data.

An HTTP library reads all that the grammar allows, and takes its time for each chunk. Of a stream of small chunks that
is most of the work, so the common case is read here, and the first thing that is anything else (the last chunk, an
extension, a mistake) is left to the library, with all that follows.
"""

import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_SIZE_BEGUN = re.compile(rb"[0-9A-Fa-f]{0,8}\r?")
_END = b"\r\n"


def _take_whole(data: bytes, at: int, pieces: list[bytes]) -> int:
    """Take chunks that are there from beginning to end, and return where the first stands that is not."""
    while size := _SIZE.match(data, at):
        start = size.end()
        end = start + int(size[1], 16)
        if end == start or data[end : end + 2] != _END:
            break
        pieces.append(data[start:end])
        at = end + 2
    return at


class ChunkReader:
    """Bytes of the transfer in, pieces of the body out; a chunk that comes in parts gives a piece for each.

    Between two calls it holds nine bytes at most. `rest` is None as long as there are only chunks with data. Then it is
    what was not read, beginning where a chunk begins. `problem` is None until a chunk does not end where it should.
    """

    def __init__(self) -> None:
        self.rest: bytes | None = None
        self.problem: str | None = None
        self._held = b""
        self._missing = 0
        self._is_open = False

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more is to be fed."""
        return self.rest is not None or self.problem is not None

    @property
    def missing(self) -> int | None:
        """Return how many bytes of data the open chunk still lacks; None between chunks."""
        return self._missing if self._is_open else None

    @property
    def opening(self) -> bytes:
        """Return a chunk's beginning, with its first byte, after which another reader is within a chunk as this one is.

        Empty between chunks.
        """
        return b"%x\r\n." % (self._missing + 1) if self._is_open else b""

    @property
    def unread(self) -> bytes:
        """Return what was fed and belongs to no piece yet."""
        return self._held if self.rest is None else self.rest

    def feed(self, data: bytes) -> list[bytes]:
        """Return the pieces that have come; if this raises, the bytes count as not fed."""
        pieces: list[bytes] = []
        data, at = self._held + data, 0
        missing, is_open, rest = self._missing, self._is_open, None
        while at < len(data):
            if not is_open:
                at = _take_whole(data, at, pieces)
            if at == len(data):
                break
            if missing:
                piece = data[at : at + missing]
                pieces.append(piece)
                at += len(piece)
                missing -= len(piece)
            elif is_open:
                if data.startswith(_END, at):
                    at += len(_END)
                    is_open = False
                elif data[at:] == b"\r":
                    break
                else:
                    self.problem = "a chunk does not end where it should"
                    break
            elif (size := _SIZE.match(data, at)) and (length := int(size[1], 16)):
                at = size.end()
                missing, is_open = length, True
            elif _SIZE_BEGUN.fullmatch(data, at):
                break
            else:
                rest, at = data[at:], len(data)
        self._held, self._missing, self._is_open, self.rest = data[at:], missing, is_open, rest
        return pieces
