"""Know why calls fail: mitmproxy tells them a sentence only, and the exceptions are to be had where they arise.

connecting      the hook `server_connect_error` is called while mitmproxy handles the exception
TLS             the hook `tls_failed_server`
a broken end    asyncio's reader keeps the exception of a connection that was lost; that a peer has closed its side
                shows in the state that a connection has when mitmproxy closes it. By the time of the hook `error`
                all are closed, so `ConnectionHandler.close_connection` is watched: the only private part here.
"""

import sys

from mitmproxy.connection import Client, Connection, ConnectionState
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.tls import TlsData

from moonpalace_addons import upstream
from moonpalace_addons.control import control_of
from moonpalace_addons.failures import (
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

type Peer = tuple[object, float]


class Causes:
    """Note what happens to connections, and say what it means for a call that fails."""

    name = "moonpalace-causes"

    def __init__(self) -> None:
        self._failed: dict[Peer, Failure] = {}
        """Of the connection to upstream that each client had last."""
        self._left: set[Peer] = set()

    def client_connected(self, client: Client) -> None:
        """Watch how its connections end."""

        def note(connection: Connection, error: BaseException | None) -> None:
            if connection.state is not ConnectionState.CAN_WRITE:
                return  # it is mitmproxy that closes it
            if connection is client:
                self._left.add(peer(client))
            else:
                self._failed.setdefault(peer(client), UPSTREAM_CUT if error is None else of_exception(error))

        upstream.watch_closing(client, note)

    def client_disconnected(self, client: Client) -> None:
        """Forget it."""
        self._failed.pop(peer(client), None)
        self._left.discard(peer(client))

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
        has_left = peer(client) in self._left
        if flow.request.timestamp_end is None:
            return CLIENT_LEFT if has_left else BAD_REQUEST
        if has_left or (not client.connected and upstream.connection_of(flow) is not None):
            return CLIENT_LEFT
        if (known := self._failed.get(peer(client))) is not None:
            return known
        has_asked_proxy = flow.server_conn.via is not None and flow.server_conn.timestamp_start is None
        return UPSTREAM_PROXY if has_asked_proxy else UPSTREAM_PROTOCOL


def peer(client: Client) -> Peer:
    """Return what tells a client from others, and is the same for the copy that mitmproxy replays a flow with."""
    return client.peername, client.timestamp_start
