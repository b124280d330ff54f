"""Relay streamed answers: all that one read of upstream's socket brings goes through mitmproxy's layers at once.

mitmproxy takes every chunk of a transfer through its layers by itself, thrice: as it comes, as it goes, and as a write
to a socket. A proxy that is busy reads several chunks at once, and falls further behind with each. Here they stay
together: what has to be said of them is said once, the client gets the same chunks in one write, and a busy proxy
becomes quicker instead of slower. Like `upstream`, this module touches mitmproxy's internals, and nothing else of ours
does; where they are not as it knows them, streams go mitmproxy's own way.
"""

import functools
import logging
from collections.abc import Iterable, Sequence
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
    layer, stream = upstream.http_layer_of(flow), upstream.stream_of(flow)
    if layer is None or stream is None or stream.context.options.store_streamed_bodies:
        return
    source, sink = _connection(layer, stream.context.server), _connection(layer, stream.context.client)
    if not (isinstance(source, Http1Client) and isinstance(sink, Http1Server)):
        return
    stream.state_stream_response_body = functools.update_wrapper(
        functools.partial(_pass_on, stream, sink), HttpStream.state_stream_response_body
    )
    source.read_body = _Source(source)  # type: ignore[method-assign]
    if (handler := upstream.connection_of(flow)) is not None:
        read_directly(handler, stream.context.server, stream.context.client)


def _connection(layer: HttpLayer, connection: Connection) -> Layer | None:
    """Return what speaks HTTP on a connection, below TLS and outgoing proxies."""
    found = layer.connections.get(connection)
    return found.context.layers[-1] if isinstance(found, Layer) else None


class _Source:
    """Takes the place of `Http1Connection.read_body`: takes each read of upstream's socket apart at once."""

    def __init__(self, layer: Http1Client) -> None:
        self.layer = layer
        self.has_begun = False
        self.chunks: ChunkReader | None = None

    def __call__(self, event: Event) -> CommandGenerator[None]:
        """Pass on what the event brings; all but data is left to the method itself."""
        layer = self.layer
        if not isinstance(event, DataReceived) or layer.stream_id is None:
            yield from Http1Connection.read_body(layer, event)
            return
        if not self.has_begun:
            self.has_begun = True
            self.chunks = ChunkReader() if isinstance(layer.body_reader, ChunkedReader) else None
        pieces, end = self._chunked(self.chunks) if self.chunks else self._other()
        if pieces:
            yield ReceiveHttp(_Pieces(layer.stream_id, pieces))
        if end is not None:
            del layer.read_body  # the next answer on this connection may be another matter
            layer.state = layer.read_body
            layer.body_reader = end  # type: ignore[assignment]
            yield from layer.read_body(event)

    def _chunked(self, chunks: ChunkReader) -> "tuple[list[bytes], _End | None]":
        """Return what has come of a chunked body and, once that is known, how it ends."""
        buffer = self.layer.buf
        pieces = chunks.feed(bytes(buffer.maybe_extract_at_most(len(buffer)) or b""))
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
            while isinstance(last := self.layer.body_reader(self.layer.buf), h11.Data):
                if last.data:
                    pieces.append(bytes(last.data))
        except h11.ProtocolError as error:
            return pieces, _End(None, error)
        return pieces, None if last is None else _End(last, None)


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


def _pass_on(stream: HttpStream, sink: Http1Server, event: Event) -> CommandGenerator[None]:
    """Give the client what its stream makes of the pieces, as `HttpStream` and `Http1Server` would, in one write."""
    response = stream.flow.response
    together = getattr(response.stream, "together", None) if response is not None else None
    if not isinstance(event, _Pieces) or together is None or sink.response is None:
        yield from HttpStream.state_stream_response_body(stream, event)
        return
    output: Iterable[bytes] = together(event.pieces)
    is_chunked = "chunked" in sink.response.headers.get("transfer-encoding", "").lower()
    if data := _framed(output) if is_chunked else b"".join(output):
        yield SendData(sink.conn, data)


def _framed(pieces: Iterable[bytes]) -> bytes:
    """Return pieces as chunks of a transfer."""
    return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces])
