"""Relay streamed answers: all that one read of upstream's socket brings goes through mitmproxy's layers at once.

mitmproxy takes every chunk of a transfer through its layers by itself, thrice: as it comes, as it goes, and as a write
to a socket. A proxy that is busy reads several chunks at once, and falls further behind with each. Here they stay
together: what has to be said of them is said once, the client gets the same chunks in one write, and a busy proxy
becomes quicker instead of slower. Like `upstream`, this module touches mitmproxy's internals, and nothing else of ours
does; where they are not as it knows them, streams go mitmproxy's own way. So does what follows a fault of ours: the
client gets every byte.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

import h11
from h11._readers import ChunkedReader
from mitmproxy.connection import Connection
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.commands import SendData
from mitmproxy.proxy.events import DataReceived, Event
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ResponseData
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server

from moonpalace_addons import upstream
from moonpalace_addons.adapter import NOT_PASSED_ON
from moonpalace_addons.calls import Call
from moonpalace_addons.direct_read import read_directly
from moonpalace_addons.tap import INCOMPLETE
from moonpalace_addons.wire.chunked import ChunkReader

logger = logging.getLogger(__name__)

LEFT = "a stream is left to mitmproxy, which is slower, because of a fault in MoonPalace"
SLOWER = "the stream was left to mitmproxy, which is slower, because of a fault in MoonPalace"


class Stream(Protocol):
    """What can take pieces that came together; called with bytes, it is a stream as mitmproxy knows them."""

    def together(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Return what the client gets instead of the pieces, which have come at the same time; none of it is empty."""
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


def _pieces_of(event: Event) -> Sequence[bytes]:
    """Return the pieces that come with an event; heartbeats, which are of a class of their own, bring none."""
    if isinstance(event, _Pieces):
        return event.pieces
    return (event.data,) if type(event) is ResponseData else ()


def relay(flow: HTTPFlow, call: Call) -> None:
    """Have the answer of a flow relayed; to be called in `responseheaders`, when its `stream` is set, to a `Stream`."""
    try:
        _install(flow, call)
    except Exception:
        logger.exception(LEFT)
        call.warnings.append(SLOWER)


def _install(flow: HTTPFlow, call: Call) -> None:
    layer, stream, handler = upstream.http_layer_of(flow), upstream.stream_of(flow), upstream.connection_of(flow)
    if layer is None or stream is None or handler is None or stream.context.options.store_streamed_bodies:
        return
    client, server = stream.context.client, stream.context.server
    source, sink = _top(layer, server), _top(layer, client)
    if isinstance(source, Http1Client) and isinstance(sink, Http1Server):
        relayed = _Relay(call, source, stream, sink)
        at_once = None if client.tls or server.tls else relayed.at_once
        read_directly(handler, server, client, at_once, relayed.give_up)
        source.read_body = relayed.read_body  # type: ignore[method-assign]
        stream.state_stream_response_body = relayed.pass_on


def _top(layer: HttpLayer, connection: Connection) -> Layer | None:
    """Return what speaks HTTP on a connection, above TLS and outgoing proxies."""
    found = layer.connections.get(connection)
    return found.context.layers[-1] if isinstance(found, Layer) else None


class _Relay:
    """Takes the place of two methods for one answer: what reads its body, and what passes it on.

    After a fault both are mitmproxy's again, from the very byte on up to which all is done.
    """

    def __init__(self, call: Call, source: Http1Client, stream: HttpStream, sink: Http1Server) -> None:
        self.call = call
        self.source = source
        self.stream = stream
        self.sink = sink
        self.has_failed = False
        self.chunks: ChunkReader | None = None
        self.is_chunked: bool | None = None
        self.unsent: Sequence[bytes] = ()

    def read_body(self, event: Event) -> CommandGenerator[None]:
        """Take a read of upstream's socket apart at once; all but chunks is left to `Http1Connection.read_body`."""
        source, pieces = self.source, list[bytes]()
        is_data = isinstance(event, DataReceived)
        if is_data and source.stream_id is not None:
            try:
                pieces = self._chunked()
            except Exception:  # noqa: BLE001 - it is logged by what is called
                self.give_up()
            if pieces:
                yield ReceiveHttp(_Pieces(source.stream_id, pieces))
        if self.chunks is None or not is_data:
            yield from Http1Connection.read_body(source, event)

    def _chunked(self) -> list[bytes]:
        """Return what has come of a chunked body; where that is anything but plain chunks, mitmproxy reads on."""
        buffer = self.source.buf
        if self.chunks is None and isinstance(self.source.body_reader, ChunkedReader):
            self.chunks = ChunkReader()
        if self.chunks is None:
            self._leave_reading()
            return []
        pieces = self.chunks.feed(bytes(buffer))
        buffer.maybe_extract_at_most(len(buffer))
        if self.chunks.is_over:
            self._leave_reading()
        return pieces

    def pass_on(self, event: Event) -> CommandGenerator[None]:
        """Give the client what its stream makes of pieces, as `HttpStream` and `Http1Server` would, in one write."""
        pieces, together = _pieces_of(event), None
        try:
            together = self._together() if pieces else None
        except Exception:  # noqa: BLE001 - it is logged by what is called
            self.give_up()
        if together is None:
            yield from HttpStream.state_stream_response_body(self.stream, event)
        elif data := self._written(together, pieces):
            yield SendData(self.sink.conn, data)
        else:
            yield from self._send_unsent()

    def at_once(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Take what upstream has sent past all layers; return what the client gets, and what the layers have to see.

        They see all before they have passed on the beginning and while they wait for a hook, then nothing (None), and
        at the end the occasion (no bytes) to look at what is kept for them.
        """
        stream, chunks = self.stream, self.chunks
        try:
            if (
                chunks is None
                or stream._paused is not None  # noqa: SLF001
                or stream.server_state is not stream.state_stream_response_body
                or self.source.buf
                or (together := self._together()) is None
            ):
                return b"", data
            pieces = chunks.feed(data)
        except Exception:  # noqa: BLE001 - it is logged by what is called
            self.give_up()
            return b"", data
        sent = self._written(together, pieces) if pieces else b""
        if self.unsent:
            self.source.state = self._catch_up
        if chunks.is_over:
            self._leave_reading()
        return sent, None if self.chunks is chunks else b""

    def _together(self) -> Callable[[Sequence[bytes]], Sequence[bytes]] | None:
        response = self.stream.flow.response
        return getattr(response.stream, "together", None) if response is not None else None

    def _written(self, together: Callable[[Sequence[bytes]], Sequence[bytes]], pieces: Sequence[bytes]) -> bytes:
        """Return what is written to the client's socket for pieces; after a fault nothing, and it is `unsent`."""
        try:
            changed = together(pieces)
        except Exception:  # noqa: BLE001 - it is logged by what is called
            self.unsent = self._without_stream(pieces)
            return b""
        try:
            return self._sent(changed)
        except Exception:  # noqa: BLE001 - it is logged by what is called
            self.give_up()
            self.unsent = changed
            return b""

    def _sent(self, pieces: Sequence[bytes]) -> bytes:
        """Return pieces as they are written."""
        if self.is_chunked is None:  # once for the answer: its headers have been sent
            headers = self.sink.response.headers if self.sink.response is not None else {}
            self.is_chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        if not self.is_chunked:
            return b"".join(pieces)
        return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces])

    # ---- faults ----------------------------------------------------------------------------------------------------

    def give_up(self) -> None:
        """Leave the rest of the answer to mitmproxy, because of the exception that is being handled."""
        if not self.has_failed:
            self.has_failed = True
            self.call.warnings.append(SLOWER)
            logger.exception(LEFT)
        self._leave_reading()
        stream = self.stream
        if stream.state_stream_response_body == self.pass_on:
            del stream.state_stream_response_body
            if stream.server_state == self.pass_on:
                stream.server_state = stream.state_stream_response_body

    def _leave_reading(self) -> None:
        """Have mitmproxy read on where the chunks end that were read here, be it in the midst of one."""
        source, chunks, self.chunks = self.source, self.chunks, None
        if source.read_body != self.read_body:
            return
        del source.read_body  # the next answer on this connection may be another matter
        if source.state == self.read_body:
            source.state = source.read_body
        if chunks is None:
            return
        reader, source.body_reader = source.body_reader, _Broken(chunks.problem)  # type: ignore[assignment]
        if chunks.problem is not None:
            return
        # h11 has seen nothing of this body: what it reads begins with a chunk.
        came = bytes(source.buf.maybe_extract_at_most(len(source.buf)) or b"")
        if chunks.opening:
            source.buf += chunks.opening
            reader(source.buf)
        source.buf += chunks.unread + came
        source.body_reader = reader

    def _without_stream(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Return what the client gets of pieces whose stream has failed: all, unless it was to get something else."""
        self.give_up()
        if self.stream.flow.response is not None:
            self.stream.flow.response.stream = True
        if self.call.adapter is not None:
            self.call.adapter.break_off(NOT_PASSED_ON)
            return []
        self.call.warnings.append(INCOMPLETE)
        return pieces

    def _send_unsent(self) -> CommandGenerator[None]:
        """Give the client what was taken from upstream, but not written."""
        unsent, self.unsent = self.unsent, ()
        for piece in unsent:
            yield SendHttp(ResponseData(self.stream.stream_id, piece), self.sink.conn)

    def _catch_up(self, event: Event) -> CommandGenerator[None]:
        """Do that, and let mitmproxy read on."""
        self.source.state = self.source.read_body
        yield from self._send_unsent()
        yield from self.source.read_body(event)


class _Broken:
    """A reader of bodies that cannot go on, because of upstream's mistake if there is one: says so to mitmproxy."""

    def __init__(self, problem: str | None) -> None:
        self.problem = problem or "a fault in MoonPalace"

    def __call__(self, _: object) -> NoReturn:
        raise h11.RemoteProtocolError(self.problem)

    def read_eof(self) -> NoReturn:
        """Take the end of the connection, which follows."""
        self(None)
