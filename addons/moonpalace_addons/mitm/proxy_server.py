"""mitmproxy's own server: its sockets, and the layers of its connections, which are only looked at here.

Beyond its documented API, this relies on `Proxyserver.connections` and `servers`, on `ConnectionHandler.transports`,
`close_connection`, `timeout_watchdog` and `layer`, and on the streams of an `HttpLayer`.
"""

import asyncio
from typing import cast

from mitmproxy import ctx, optmanager
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream
from mitmproxy.proxy.mode_servers import ServerInstance
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import ConnectionHandler


def proxyserver() -> Proxyserver:
    """Return mitmproxy's own addon that holds the sockets."""
    return cast(Proxyserver, ctx.master.addons.get("proxyserver"))


def was_set(option: str) -> bool:
    """Tell whether somebody set a mitmproxy option, be it to its default."""
    known = getattr(ctx.options, "_options", {}).get(option)
    return known is not None and known.value is not optmanager.unset


def mode_of_clients(server: ServerInstance[ProxyMode]) -> ProxyMode:
    """Return the mode that the flows of a server name: those of our engine can be read by any mitmproxy."""
    mode: ProxyMode = getattr(server, "client_mode", server.mode)
    return mode


def listen_on_tcp_only(mode: str) -> None:
    """Keep a reverse proxy to an https address from listening on UDP too, for HTTP/3 clients that we do not have."""
    parsed = ProxyMode.parse(mode)  # cached: the proxy server parses the same text to the same object
    if parsed.transport_protocol == "both":
        parsed.transport_protocol = "tcp"  # type: ignore[misc]


def has_events(handler: ConnectionHandler | None) -> bool:
    """Tell whether events wait for the layers of a connection."""
    lock = getattr(handler, "_server_event_lock", None)
    return lock is not None and (lock.locked() or bool(getattr(lock, "_waiters", None)))


def writer_of(flow: HTTPFlow) -> asyncio.StreamWriter | None:
    """Return what writes to a flow's client, None once its connection is closed."""
    handler = connection_of(flow)
    transport = handler.transports.get(flow.client_conn) if handler else None
    return transport.writer if transport is not None and isinstance(transport.writer, asyncio.StreamWriter) else None


def http_layer_in(handler: ConnectionHandler | None) -> HttpLayer | None:
    """Return the layer that speaks HTTP on a connection, None if there is none."""
    layer: object = handler.layer if handler else None
    while layer is not None and not isinstance(layer, HttpLayer):
        layer = getattr(layer, "child_layer", None) or getattr(layer, "layer", None)
    return layer


def stream_of(flow: HTTPFlow) -> HttpStream | None:
    """Return the layer that handles a flow, None once it is over."""
    layer = http_layer_in(connection_of(flow))
    streams = layer.streams.values() if layer else ()
    return next((stream for stream in streams if getattr(stream, "flow", None) is flow), None)


def connection_of(flow: HTTPFlow) -> ConnectionHandler | None:
    """Return what handles the connection of a flow's client, None once it is closed."""
    server = cast(Proxyserver | None, ctx.master.addons.get("proxyserver"))
    return server.connections.get(flow.client_conn.id) if server is not None else None
