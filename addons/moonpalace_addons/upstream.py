"""The only module that touches mitmproxy's internals; what it relies on is tested against real sockets."""

import json
from http import HTTPStatus
from typing import cast

from mitmproxy import ctx, optmanager
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import ConnectionHandler


def proxyserver() -> Proxyserver:
    """Return mitmproxy's own addon that holds the sockets."""
    return cast(Proxyserver, ctx.master.addons.get("proxyserver"))


def was_set(option: str) -> bool:
    """Tell whether somebody set a mitmproxy option, be it to its default."""
    known = getattr(ctx.options, "_options", {}).get(option)
    return known is not None and known.value is not optmanager.unset


def listen_on_tcp_only(mode: str) -> None:
    """Keep a reverse proxy to an https address from listening on UDP too, for HTTP/3 clients that we do not have."""
    parsed = ProxyMode.parse(mode)  # cached: the proxy server parses the same text to the same object
    if parsed.transport_protocol == "both":
        parsed.transport_protocol = "tcp"  # type: ignore[misc]


def error_body(message: str, kind: str) -> bytes:
    """Return an error in the shape of the API's own (OpenAI's)."""
    return json.dumps({"error": {"message": message, "type": kind}}, ensure_ascii=False).encode()


def answer_and_close(flow: HTTPFlow, status: int, body: bytes) -> bool:
    """Give a client whose upstream failed a JSON answer instead of mitmproxy's HTML, then close its connection.

    Only while no byte of an answer has been sent. Returns False if the client is gone, or if it speaks TLS with us:
    what is written here would reach it unencrypted.
    """
    if flow.client_conn.tls:
        return False
    handler = connection_of(flow)
    transport = handler.transports.get(flow.client_conn) if handler else None
    if handler is None or transport is None or transport.writer is None or transport.writer.is_closing():
        return False
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    transport.writer.write(head.encode() + (b"" if flow.request.method == "HEAD" else body))
    if flow.killable:
        flow.kill()
    handler.close_connection(flow.client_conn)
    return True


def close_client(flow: HTTPFlow) -> None:
    """Close the client's connection as it is, so that it sees a broken transfer, never a short one that looks whole."""
    handler = connection_of(flow)
    if handler is not None and flow.client_conn in handler.transports:
        handler.close_connection(flow.client_conn)


def last_activity(flow: HTTPFlow) -> float | None:
    """Return the time (seconds since the epoch) of the last event on a flow's connections, None if they are gone."""
    handler = connection_of(flow)
    return handler.timeout_watchdog.last_activity if handler else None


def partial_body(flow: HTTPFlow) -> bytes:
    """Return what has come of an answer that mitmproxy was still collecting when it broke."""
    handler = connection_of(flow)
    layer: object = handler.layer if handler else None
    while layer is not None and not isinstance(layer, HttpLayer):
        layer = getattr(layer, "child_layer", None) or getattr(layer, "layer", None)
    if isinstance(layer, HttpLayer):
        for stream in layer.streams.values():
            if getattr(stream, "flow", None) is flow:
                return bytes(stream.response_body_buf)
    return b""


def connection_of(flow: HTTPFlow) -> ConnectionHandler | None:
    """Return what handles the connection of a flow's client, None once it is closed."""
    return proxyserver().connections.get(flow.client_conn.id)
