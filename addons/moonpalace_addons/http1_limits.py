"""Bound what mitmproxy's HTTP/1 layer keeps beside bodies: of a head, the line of a chunk, trailers, what comes early.

It would collect these without end, and quote them in its messages. As `upstream`, this module touches internals.
"""

import asyncio
from typing import cast

from mitmproxy.proxy.commands import CloseConnection, SendData
from mitmproxy.proxy.events import ConnectionClosed, DataReceived, Event
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ErrorCode, RequestProtocolError, ResponseProtocolError
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server

from moonpalace_addons import upstream
from moonpalace_addons.failures import REQUEST_TOO_LARGE
from moonpalace_addons.lingering import LINGER, linger
from moonpalace_addons.wire import api_error

MAX_HEAD = 65_536
"""Bytes of a head, of a chunk's line or of trailers, and of what a client sends ahead of an answer."""
MAX_CHUNKS = 100_000
"""Chunks of a request: reading many tiny ones takes time in which no other call goes on."""
MAX_QUOTED = 200
"""Bytes of a broken head that mitmproxy may quote."""

TOO_LARGE = f"a head, a chunk's line or trailers of more than {MAX_HEAD} bytes"
TOO_MANY = f"a body of more than {MAX_CHUNKS} chunks"


_handle_event = Http1Connection._handle_event  # noqa: SLF001


def limit_heads() -> None:
    """Have the limits hold for all connections from now on; calling it again does nothing."""
    Http1Connection._handle_event = _handle_bounded  # type: ignore[assignment, method-assign]  # noqa: SLF001


def _handle_bounded(connection: Http1Connection, event: Event) -> CommandGenerator[None]:
    """Take the place of mitmproxy's method: what is left of all that has come by then is the beginning of something."""
    if isinstance(event, ConnectionClosed) and len(connection.buf) > MAX_QUOTED:
        quoted = connection.buf.maybe_extract_at_most(MAX_QUOTED) or b""
        _clear(connection)
        connection.buf += quoted
    yield from _handle_event(connection, event)
    if isinstance(event, DataReceived) and (what := _excess(connection)):
        _clear(connection)
        if connection.state != connection.done:
            yield from _give_up(connection, what)


def _excess(connection: Http1Connection) -> str | None:
    """Return what there is too much of, None for nothing."""
    if len(connection.buf) > MAX_HEAD:
        return TOO_LARGE
    reader = getattr(connection, "body_reader", None)  # there is none before the first body
    if isinstance(connection, Http1Server) and getattr(reader, "count", 0) > MAX_CHUNKS:
        return TOO_MANY
    return None


def _clear(connection: Http1Connection) -> None:
    connection.buf.maybe_extract_at_most(len(connection.buf))


def _writer(connection: Http1Connection) -> asyncio.StreamWriter | None:
    handler = upstream.proxyserver().connections.get(connection.context.client.id)
    transport = handler.transports.get(connection.conn) if handler else None
    return transport.writer if transport is not None and isinstance(transport.writer, asyncio.StreamWriter) else None


def _give_up(connection: Http1Connection, what: str) -> CommandGenerator[None]:
    connection.state = connection.done
    writer = _writer(connection)
    if isinstance(connection, Http1Client):
        yield CloseConnection(connection.conn)
        if writer is not None:  # mitmproxy's task that reads may be cancelled where it closes nothing
            writer.transport.abort()
        if connection.stream_id is not None:
            message = f"the API sent {what}"
            yield ReceiveHttp(ResponseProtocolError(connection.stream_id, message, ErrorCode.GENERIC_SERVER_ERROR))
    elif connection.request is None:
        if writer is not None:
            linger(writer)
        body = api_error.body(f"MoonPalace does not read {what}", REQUEST_TOO_LARGE.kind, "")
        yield SendData(connection.conn, upstream.raw_answer(431, body))
        yield CloseConnection(connection.conn)
    else:
        if writer is not None:  # whoever hears of the error answers and closes; if nobody does, this does
            asyncio.get_running_loop().call_later(LINGER, writer.transport.abort)
        # So do mitmproxy's own messages begin.
        message = f"Invalid request: {what}"
        stream_id = cast(Http1Server, connection).stream_id
        yield ReceiveHttp(RequestProtocolError(stream_id, message, ErrorCode.GENERIC_CLIENT_ERROR))
