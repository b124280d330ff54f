"""Know why calls fail: mitmproxy tells them a sentence only, and the exceptions are to be had where they arise.

connecting      the hook `server_connect_error` is called while mitmproxy handles the exception
TLS             the hook `tls_failed_server`
a broken end    mitmproxy's own words say that a connection has ended, and asyncio's reader keeps the exception with
                which it was lost; in the hook `error` mitmproxy still has the readers of what it closes

Our own engine says itself why a call has failed.
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
"""How mitmproxy begins to say that a connection has ended; what a peer has sent comes behind it."""

type Peer = tuple[object, float]


class Causes:
    """Note what happens to connections, and say what it means for a call that fails."""

    name = "moonpalace-causes"

    def __init__(self) -> None:
        self._failed: dict[Peer, Failure] = {}
        """Of the connection to upstream that each client had last."""

    def client_disconnected(self, client: Client) -> None:
        """Forget it."""
        self._failed.pop(peer(client), None)

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """Forget what was before this connection."""
        self._failed.pop(peer(data.client), None)

    def server_connect_error(self, data: ServerConnectionHookData) -> None:
        """Note why there is no connection; without an exception mitmproxy itself did not want it."""
        error = sys.exception()
        self._failed[peer(data.client)] = UPSTREAM_IS_PROXY if error is None else of_exception(error)

    def tls_failed_server(self, data: TlsData) -> None:
        """Note that the two could not agree, whatever it was about."""
        self._failed[peer(data.context.client)] = UPSTREAM_TLS

    def of(self, flow: HTTPFlow) -> Failure:
        """Return what kind of failure the error of a flow is; our own engine knows."""
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
        if (known := self._failed.get(peer(client))) is not None:
            return known
        if message.startswith(ENDED):
            return of_exception(error) if (error := lost_with(flow)) is not None else UPSTREAM_CUT
        has_asked_proxy = flow.server_conn.via is not None and flow.server_conn.timestamp_start is None
        return UPSTREAM_PROXY if has_asked_proxy else UPSTREAM_PROTOCOL


def lost_with(flow: HTTPFlow) -> Exception | None:
    """Return the exception with which a connection to upstream was lost, None if it was closed."""
    handler = connection_of(flow)
    found = handler.transports.items() if handler is not None else ()
    readers = [each.reader for connection, each in found if connection is not flow.client_conn]
    lost = (reader.exception() for reader in readers if isinstance(reader, asyncio.StreamReader))
    return next(filter(None, lost), None)


def peer(client: Client) -> Peer:
    """Return what tells a client from others, and is the same for the copy that mitmproxy replays a flow with."""
    return client.peername, client.timestamp_start
