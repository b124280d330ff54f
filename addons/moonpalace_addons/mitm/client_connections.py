"""The connections of all clients, for the shutdown of the proxy.

Beyond mitmproxy's documented API, this relies on `Proxyserver.connections`; on `ConnectionHandler.transports`,
`close_connection` and `layer`; on the streams of an `HttpLayer` and their `child_layer`, which tunnels have; and on
mitmproxy closing a connection after the answer to a request with `Connection: close`.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.server import ConnectionHandler

from moonpalace_addons.mitm.proxy_server import has_events, http_layer_in, proxyserver

if TYPE_CHECKING:
    from moonpalace_addons.engine.service import Service


def drain() -> bool:
    """Close every connection after its current call, idle ones at once.

    Return whether some are still busy. Tunnels do not count: their end is unknown.
    """
    is_busy = any([service.drain() for service in engines()])  # noqa: C419 - all of them
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


class Sender(Protocol):
    """A client's connection, which may have pending data."""

    def get_write_buffer_size(self) -> int: ...  # noqa: D102
    def abort(self) -> None: ...  # noqa: D102


def close_all() -> list[Sender]:
    """Close all connections once pending data is sent; return those of clients."""
    handlers = connections()
    clients: list[Sender] = [transport for handler in handlers if (transport := transport_of(handler))]
    for handler in handlers:
        close(handler)
    for service in engines():
        clients += service.close()
    return clients


def engines() -> "Sequence[Service]":
    """Return the running engines; without one, its modules are not imported."""
    module = sys.modules.get("moonpalace_addons.engine.service")
    return list(module.SERVICES) if module is not None else []


def connections() -> list[ConnectionHandler]:
    """Return the connection handlers, as a list that may be iterated while they close."""
    return list(proxyserver().connections.values())


def streams_of(handler: ConnectionHandler) -> list[HttpStream]:
    """Return the active HTTP streams of a connection."""
    layer = http_layer_in(handler)
    return [stream for stream in layer.streams.values() if hasattr(stream, "flow")] if layer is not None else []


def transport_of(handler: ConnectionHandler) -> asyncio.WriteTransport | None:
    """Return the client's transport, or None once it is closed."""
    io = handler.transports.get(handler.client)
    return io.writer.transport if io is not None and isinstance(io.writer, asyncio.StreamWriter) else None


def unsent(handler: ConnectionHandler) -> int:
    """Return the number of bytes not yet sent to the client."""
    transport = transport_of(handler)
    return transport.get_write_buffer_size() if transport is not None else 0


def close(handler: ConnectionHandler) -> None:
    """Close a connection once pending data is sent."""
    io = handler.transports.get(handler.client)
    if io is None:
        return
    if io.handler is not None:
        handler.close_connection(handler.client)
    elif isinstance(io.writer, asyncio.StreamWriter):
        io.writer.close()  # mitmproxy is not reading from it yet
