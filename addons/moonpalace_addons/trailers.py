"""Read chunked transfers: past their trailers (RFC 9112, section 7.1.2), at which mitmproxy leaves both sides waiting.

Whoever gets a message may discard them (RFC 9110, section 6.5.1). Where very many chunks come at once, they are joined,
since mitmproxy takes its time for each, in which no other call goes on. As `upstream`, this module touches internals;
where they are not as it knows them, nothing is changed.
"""

import logging
from collections.abc import Callable

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from mitmproxy.proxy.layers.http import _http1

from moonpalace_addons.wire.chunked import ChunkReader

logger = logging.getLogger(__name__)


MANY = 8192
"""Bytes from which what has come is joined; a stream that is relayed is not read here, and keeps its chunks."""


class PlainChunkedReader(ChunkedReader):
    """Read the body of a chunked transfer, and end it without trailers; `count` is how many chunks have come, about."""

    count = 0

    def __call__(self, buf: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        """Return what comes next."""
        if len(buf) >= MANY and (data := self._joined(buf)):
            return h11.Data(data=data)
        event = super().__call__(buf)
        self.count += 1
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event

    def _joined(self, buf: ReceiveBuffer) -> bytes:
        """Return the data of all plain chunks in the buffer; leave there what is anything else."""
        if self._reading_trailer:
            return b""
        chunks, opening = ChunkReader(), b""
        if self._bytes_in_chunk:
            opening = b"%x\r\n" % self._bytes_in_chunk
        elif self._bytes_to_discard:  # a chunk whose data have been read, without the beginning of its end
            opening = b"1\r\n." + b"\r\n".removesuffix(self._bytes_to_discard)
            chunks.feed(opening)
            opening = b""
        pieces = chunks.feed(opening + bytes(buf))
        self.count += len(pieces)
        data = b"".join(pieces)
        if not data:
            return b""
        if chunks.problem is not None:
            raise h11.RemoteProtocolError(chunks.problem)
        buf.maybe_extract_at_most(len(buf))
        buf += chunks.unread
        self._bytes_in_chunk = chunks.missing or 0
        self._bytes_to_discard = b"\r\n" if chunks.missing == 0 else b""
        return data


def discard_trailers() -> None:
    """Have mitmproxy read all chunked bodies from now on without their trailers; calling it again does nothing."""
    make = getattr(_http1, "make_body_reader", None)
    if make is None:
        # No error: while mitmproxy starts, one would end it.
        logger.warning("a message with trailers will not pass, as this version of mitmproxy is not known")
    elif not isinstance(make, _Making):
        _http1.make_body_reader = _Making(make)  # type: ignore[assignment]


class _Making:
    """Makes readers of bodies in the place of mitmproxy's own function."""

    def __init__(self, make: Callable[[int | None], object]) -> None:
        self.make = make

    def __call__(self, expected_size: int | None) -> object:
        reader = self.make(expected_size)
        return PlainChunkedReader() if type(reader) is ChunkedReader else reader
