"""Relay streamed answers: all that one read of upstream's socket brings goes through mitmproxy's layers at once.

mitmproxy takes every chunk of a transfer through its layers by itself, thrice: as it comes, as it goes, and as a write
to a socket. A proxy that is busy reads several chunks at once, and falls further behind with each. Here they stay
together: what has to be said of them is said once, the client gets the same chunks in one write, and a busy proxy
becomes quicker instead of slower. Like `upstream`, this module touches mitmproxy's internals, and nothing else of ours
does; where they are not as it knows them, streams go mitmproxy's own way.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import h11
from h11._readers import ChunkedReader
from mitmproxy.connection import Connection
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.commands import SendData
from mitmproxy.proxy.events import DataReceived, Event
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ResponseData
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server

from moonpalace_addons import upstream
from moonpalace_addons.direct_read import read_directly
from moonpalace_addons.wire.chunked import ChunkReader

logger = logging.getLogger(__name__)


class Stream(Protocol):
    """What can take pieces that came together; called with bytes, it is a stream as mitmproxy knows them."""

    def together(self, pieces: Sequence[bytes]) -> Iterable[bytes]:
        """Return what the client gets instead of the pieces, which have come at the same time."""
        ...  # pragma: no cover


class _Pieces(ResponseData):
    """Pieces of a response that came together; whoever does not know them sees them as one."""

    def __init__(self, stream_id: int, pieces: Sequence[bytes]) -> None:
        self.stream_id = stream_id
        self.pieces = pieces

    @property
    def data(self) -> bytes:  # type: ignore[override]
        """Return them as one."""
        return b"".join(self.pieces)


def relay(flow: HTTPFlow) -> None:
    """Have the answer of a flow relayed; to be called in `responseheaders`, when its `stream` is set, to a `Stream`."""
    try:
        _install(flow)
    except Exception:
        logger.exception("a stream goes mitmproxy's own way, which is slower, because of a fault in MoonPalace")


def _install(flow: HTTPFlow) -> None:
    layer, stream, handler = upstream.http_layer_of(flow), upstream.stream_of(flow), upstream.connection_of(flow)
    if layer is None or stream is None or handler is None or stream.context.options.store_streamed_bodies:
        return
    client, server = stream.context.client, stream.context.server
    source, sink = _top(layer, server), _top(layer, client)
    if isinstance(source, Http1Client) and isinstance(sink, Http1Server):
        relayed = _Relay(source, stream, sink)
        source.read_body = relayed.read_body  # type: ignore[method-assign]
        stream.state_stream_response_body = relayed.pass_on
        is_plain = not (client.tls or server.tls)
        read_directly(handler, server, client, relayed.at_once if is_plain else None)


def _top(layer: HttpLayer, connection: Connection) -> Layer | None:
    """Return what speaks HTTP on a connection, above TLS and outgoing proxies."""
    found = layer.connections.get(connection)
    return found.context.layers[-1] if isinstance(found, Layer) else None


class _Relay:
    """Takes the place of two methods for one answer: what reads its body, and what passes it on."""

    def __init__(self, source: Http1Client, stream: HttpStream, sink: Http1Server) -> None:
        self.source = source
        self.stream = stream
        self.sink = sink
        self.has_begun = False
        self.chunks: ChunkReader | None = None
        self.is_chunked: bool | None = None

    def read_body(self, event: Event) -> CommandGenerator[None]:
        """Take a read of upstream's socket apart at once; all but data is left to `Http1Connection.read_body`."""
        source = self.source
        if not isinstance(event, DataReceived) or source.stream_id is None:
            yield from Http1Connection.read_body(source, event)
            return
        if not self.has_begun:
            self.has_begun = True
            self.chunks = ChunkReader() if isinstance(source.body_reader, ChunkedReader) else None
        pieces, end = self._chunked(self.chunks) if self.chunks else self._other()
        if pieces:
            yield ReceiveHttp(_Pieces(source.stream_id, pieces))
        if end is not None:
            del source.read_body  # the next answer on this connection may be another matter
            source.state = source.read_body
            source.body_reader = end  # type: ignore[assignment]
            yield from source.read_body(event)

    def _chunked(self, chunks: ChunkReader) -> "tuple[list[bytes], _End | None]":
        """Return what has come of a chunked body and, once that is known, how it ends."""
        buffer = self.source.buf
        came = bytes(buffer.maybe_extract_at_most(len(buffer)) or b"")
        pieces = fed(chunks, came) if not chunks.is_over else []
        if chunks.problem is not None:
            return pieces, _End(None, h11.RemoteProtocolError(chunks.problem))
        if chunks.rest is None:
            return pieces, None
        # h11 has seen nothing of this body: what it reads from now on begins with a chunk.
        self.chunks = None
        buffer += chunks.rest
        further, end = self._other()
        return pieces + further, end

    def _other(self) -> "tuple[list[bytes], _End | None]":
        """Return the same of any body, as h11 reads it."""
        pieces: list[bytes] = []
        try:
            while isinstance(last := self.source.body_reader(self.source.buf), h11.Data):
                if last.data:
                    pieces.append(bytes(last.data))
        except h11.ProtocolError as error:
            return pieces, _End(None, error)
        return pieces, None if last is None else _End(last, None)

    def pass_on(self, event: Event) -> CommandGenerator[None]:
        """Give the client what its stream makes of pieces, as `HttpStream` and `Http1Server` would, in one write."""
        together = self._together()
        if not isinstance(event, _Pieces) or together is None:
            yield from HttpStream.state_stream_response_body(self.stream, event)
        elif data := self._sent(together(event.pieces)):
            yield SendData(self.sink.conn, data)

    def at_once(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Take what upstream has sent past all layers; return what the client gets, and what the layers have to see.

        They see all before they have passed on the beginning and while they wait for a hook, then nothing (None), and
        at the end the occasion (no bytes) to look at what is kept for them.
        """
        stream, chunks = self.stream, self.chunks
        if (
            chunks is None
            or chunks.is_over
            or stream._paused is not None  # noqa: SLF001
            or stream.server_state is not stream.state_stream_response_body
            or self.source.buf
            or (together := self._together()) is None
        ):
            return b"", data
        pieces = fed(chunks, data)
        return self._sent(together(pieces)) if pieces else b"", b"" if chunks.is_over else None

    def _together(self) -> Callable[[Sequence[bytes]], Iterable[bytes]] | None:
        response = self.stream.flow.response
        return getattr(response.stream, "together", None) if response is not None else None

    def _sent(self, pieces: Iterable[bytes]) -> bytes:
        """Return what is written to the client's socket for pieces."""
        if self.is_chunked is None:  # once for the answer: its headers have been sent
            headers = self.sink.response.headers if self.sink.response is not None else {}
            self.is_chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        if not self.is_chunked:
            return b"".join(pieces)
        return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces])


def fed(chunks: ChunkReader, data: bytes) -> list[bytes]:
    """Return the pieces that have come; a fault of ours breaks the transfer, rather than leave a client waiting."""
    try:
        return chunks.feed(data)
    except Exception:
        logger.exception("an answer cannot be relayed because of a fault in MoonPalace")
        chunks.problem = "a fault in MoonPalace"
        return []


class _End:
    """A reader of bodies that has found how they end: says so once more, for mitmproxy to act on it."""

    def __init__(self, last: h11.EndOfMessage | None, failure: h11.ProtocolError | None) -> None:
        self.last = last
        self.failure = failure

    def __call__(self, _: object) -> h11.EndOfMessage | None:
        if self.failure is not None:
            raise self.failure
        return self.last

    def read_eof(self) -> h11.EndOfMessage | None:
        """Take the end of the connection, which follows a failure."""
        return self(None)
