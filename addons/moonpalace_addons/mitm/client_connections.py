"""The connections of all clients, as the end of the proxy needs them; as `upstream`, it touches mitmproxy's internals.

Relied on: `Proxyserver.connections`; `ConnectionHandler.transports`, `close_connection` and `layer`; the streams of an
`HttpLayer`, and their `child_layer`, which tunnels have; and that mitmproxy closes a connection behind the answer to a
request whose headers say `Connection: close`.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.server import ConnectionHandler

from moonpalace_addons.mitm.proxy_server import has_events, http_layer_in, proxyserver

if TYPE_CHECKING:
    from moonpalace_addons.engine.service import Service


def let_end() -> bool:
    """Have every connection closed behind the call that it is busy with, at once where there is none.

    Return whether some are still busy. Tunnels are not: nobody knows when they end.
    """
    is_busy = any([service.let_end() for service in engines()])  # noqa: C419 - all of them
    for handler in connections():
        streams = streams_of(handler)
        for stream in streams:
            stream.flow.request.headers["Connection"] = "close"
        is_answering = any(stream.child_layer is None for stream in streams)
        if is_answering or has_events(handler) or unsent(handler):
            is_busy = True
        elif not streams:
            close(handler)
    return is_busy


def close_all() -> list[asyncio.WriteTransport]:
    """Close all connections, once what is to be sent on them is sent; return their transports."""
    handlers = connections()
    transports = [transport for handler in handlers if (transport := transport_of(handler))]
    for handler in handlers:
        close(handler)
    for service in engines():
        transports += service.close()
    return transports


def engines() -> "Sequence[Service]":
    """Return our own engines, if there are any; who does without has not imported them."""
    module = sys.modules.get("moonpalace_addons.engine.service")
    return list(module.SERVICES) if module is not None else []


def connections() -> list[ConnectionHandler]:
    """Return what handles the connections; to be closed while one goes through them."""
    return list(proxyserver().connections.values())


def streams_of(handler: ConnectionHandler) -> list[HttpStream]:
    """Return what handles the requests of a connection that are under way."""
    layer = http_layer_in(handler)
    return [stream for stream in layer.streams.values() if hasattr(stream, "flow")] if layer is not None else []


def transport_of(handler: ConnectionHandler) -> asyncio.WriteTransport | None:
    """Return what sends to the client, None if that is over."""
    known = handler.transports.get(handler.client)
    return known.writer.transport if known is not None and isinstance(known.writer, asyncio.StreamWriter) else None


def unsent(handler: ConnectionHandler) -> int:
    """Return how many bytes wait for the client to take them."""
    transport = transport_of(handler)
    return transport.get_write_buffer_size() if transport is not None else 0


def close(handler: ConnectionHandler) -> None:
    """Close a connection once all is sent."""
    known = handler.transports.get(handler.client)
    if known is None:
        return
    if known.handler is not None:
        handler.close_connection(handler.client)
    elif isinstance(known.writer, asyncio.StreamWriter):
        known.writer.close()  # mitmproxy does not read from it yet
