"""mitmproxy's own server: its sockets and the layers of its connections, which only this module inspects.

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
    """Return mitmproxy's addon that owns the sockets."""
    return cast(Proxyserver, ctx.master.addons.get("proxyserver"))


def was_set(option: str) -> bool:
    """Return whether a mitmproxy option was set, even to its default."""
    stored = getattr(ctx.options, "_options", {}).get(option)
    return stored is not None and stored.value is not optmanager.unset


def mode_of_clients(server: ServerInstance[ProxyMode]) -> ProxyMode:
    """Return the mode that a server's flows carry; for our engine it is one that any mitmproxy can read."""
    mode: ProxyMode = getattr(server, "client_mode", server.mode)
    return mode


def listen_on_tcp_only(mode: str) -> None:
    """Keep a reverse proxy to an https address from also listening on UDP for HTTP/3, which we do not serve."""
    parsed = ProxyMode.parse(mode)  # cached: the proxy server gets the same object for the same text
    if parsed.transport_protocol == "both":
        parsed.transport_protocol = "tcp"  # type: ignore[misc]


def has_events(handler: ConnectionHandler | None) -> bool:
    """Return whether a connection's layers have pending events."""
    lock = getattr(handler, "_server_event_lock", None)
    return lock is not None and (lock.locked() or bool(getattr(lock, "_waiters", None)))


def writer_of(flow: HTTPFlow) -> asyncio.StreamWriter | None:
    """Return the writer to a flow's client, or None once its connection is closed."""
    handler = connection_of(flow)
    transport = handler.transports.get(flow.client_conn) if handler else None
    return transport.writer if transport is not None and isinstance(transport.writer, asyncio.StreamWriter) else None


def http_layer_in(handler: ConnectionHandler | None) -> HttpLayer | None:
    """Return the HTTP layer of a connection, or None."""
    layer: object = handler.layer if handler else None
    while layer is not None and not isinstance(layer, HttpLayer):
        layer = getattr(layer, "child_layer", None) or getattr(layer, "layer", None)
    return layer


def stream_of(flow: HTTPFlow) -> HttpStream | None:
    """Return the HTTP stream of a flow, or None once it is over."""
    layer = http_layer_in(connection_of(flow))
    streams = layer.streams.values() if layer else ()
    return next((stream for stream in streams if getattr(stream, "flow", None) is flow), None)


def connection_of(flow: HTTPFlow) -> ConnectionHandler | None:
    """Return the handler of a flow's client connection, or None once it is closed."""
    server = cast(Proxyserver | None, ctx.master.addons.get("proxyserver"))
    return server.connections.get(flow.client_conn.id) if server is not None else None
