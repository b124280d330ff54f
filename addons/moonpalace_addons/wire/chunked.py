"""Read the body of a chunked transfer (RFC 9112, section 7.1) as far as it is plain: chunks with data.

An HTTP library reads all that the grammar allows, and takes its time for each chunk. Of a stream of small chunks that
is most of the work, so the common case is read here, and the first thing that is anything else (the last chunk, an
extension, a mistake) is left to the library, with all that follows.
"""

import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_SIZE_BEGUN = re.compile(rb"[0-9A-Fa-f]{0,8}\r?")
_END = b"\r\n"


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

    def feed(self, data: bytes) -> list[bytes]:
        """Return the pieces that have come."""
        pieces: list[bytes] = []
        data, at = self._held + data, 0
        while at < len(data):
            if self._missing:
                piece = data[at : at + self._missing]
                pieces.append(piece)
                at += len(piece)
                self._missing -= len(piece)
            elif self._is_open:
                if data[at:] == b"\r":
                    break
                if not data.startswith(_END, at):
                    self.problem = "a chunk does not end where it should"
                    return pieces
                at += len(_END)
                self._is_open = False
            elif (size := _SIZE.match(data, at)) and (length := int(size[1], 16)):
                at = size.end()
                self._missing, self._is_open = length, True
            elif _SIZE_BEGUN.fullmatch(data, at):
                break
            else:
                self.rest = data[at:]
                return pieces
        self._held = data[at:]
        return pieces
