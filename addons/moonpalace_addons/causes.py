"""Classify why calls fail. mitmproxy gives only a message, so exceptions are collected where they arise.

connecting         the hook `server_connect_error` runs while mitmproxy handles the exception
TLS                the hook `tls_failed_server`
a lost connection  mitmproxy's message says that a connection has ended, and asyncio's reader keeps the exception; in
                   the hook `error` mitmproxy still has the readers of closed connections

Our own engine reports the failure itself.
"""

import asyncio
import sys

from mitmproxy.connection import Client
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.tls import TlsData

from moonpalace_addons.calls.control import control_of
from moonpalace_addons.calls.failures import (
    BAD_REQUEST,
    CLIENT_LEFT,
    KILLED,
    UPSTREAM_CUT,
    UPSTREAM_IS_PROXY,
    UPSTREAM_PROTOCOL,
    UPSTREAM_PROXY,
    UPSTREAM_TLS,
    Failure,
    of_exception,
)
from moonpalace_addons.mitm.proxy_server import connection_of

LEFT = "Client disconnected."
CUT = "HTTP/1 protocol error: peer closed connection"
ENDED = ("server closed connection", "unexpected server response: ", CUT)
"""Prefixes of mitmproxy's messages about ended connections; data from the peer may follow."""

type Peer = tuple[object, float]


class Causes:
    """Record connection failures, and classify failed calls."""

    name = "moonpalace-causes"

    def __init__(self) -> None:
        self._failed: dict[Peer, Failure] = {}
        """Failures of the last upstream connection, by client."""

    def client_disconnected(self, client: Client) -> None:
        """Discard the client's failure."""
        self._failed.pop(peer(client), None)

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """Discard the failure of an earlier connection."""
        self._failed.pop(peer(data.client), None)

    def server_connect_error(self, data: ServerConnectionHookData) -> None:
        """Record why connecting failed; without an exception, mitmproxy itself refused it."""
        error = sys.exception()
        self._failed[peer(data.client)] = UPSTREAM_IS_PROXY if error is None else of_exception(error)

    def tls_failed_server(self, data: TlsData) -> None:
        """Record a failed TLS handshake."""
        self._failed[peer(data.context.client)] = UPSTREAM_TLS

    def of(self, flow: HTTPFlow) -> Failure:
        """Return the failure of a flow; our own engine reports it itself."""
        control = control_of(flow)
        if control is not None and control.failure is not None:
            return control.failure
        client = flow.client_conn
        if flow.error is not None and flow.error.msg == Error.KILLED_MESSAGE:
            return KILLED  # by the user, in mitmweb or by a script
        message = flow.error.msg if flow.error is not None else ""
        if flow.request.timestamp_end is None:
            return CLIENT_LEFT if message.startswith((LEFT, CUT)) else BAD_REQUEST
        if message == LEFT or (not client.connected and connection_of(flow) is not None):
            return CLIENT_LEFT
        if (cause := self._failed.get(peer(client))) is not None:
            return cause
        if message.startswith(ENDED):
            return of_exception(error) if (error := lost_with(flow)) is not None else UPSTREAM_CUT
        has_asked_proxy = flow.server_conn.via is not None and flow.server_conn.timestamp_start is None
        return UPSTREAM_PROXY if has_asked_proxy else UPSTREAM_PROTOCOL


def lost_with(flow: HTTPFlow) -> Exception | None:
    """Return the exception with which an upstream connection was lost, or None if it was closed."""
    handler = connection_of(flow)
    transports = handler.transports.items() if handler is not None else ()
    readers = [each.reader for connection, each in transports if connection is not flow.client_conn]
    lost = (reader.exception() for reader in readers if isinstance(reader, asyncio.StreamReader))
    return next(filter(None, lost), None)


def peer(client: Client) -> Peer:
    """Return a key of a client, which is the same for its copy in a flow that mitmproxy replays."""
    return client.peername, client.timestamp_start
