"""Record the tunnels after an answer 101 (WebSocket or another protocol): what passed, and who ended them.

The messages of a WebSocket are kept (see `calls/websocket_calls.py`). The data of other protocols is not; the row of
the call says so, and how much it was. A call is in progress while its tunnel is open, so it ends with an error if the
tunnel is idle for too long or the proxy stops.

WebSocket         the hooks `websocket_message` and `websocket_end`, on both servers
other protocols   on mitmproxy's own server the hooks of TCP flows, which have the same client, and do not tell who
                  ended them; our engine counts itself, and calls `moonpalace_tunnel_end` with `PASSED` in the metadata
"""

import time

from mitmproxy import ctx
from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow
from mitmproxy.tcp import TCPFlow, TCPMessage
from mitmproxy.websocket import WebSocketMessage

from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.calls.ending import STOPPED, ended
from moonpalace_addons.calls.failures import CLIENT_LEFT, KILLED, PROXY_STOPPED, UPSTREAM_CUT, Failure
from moonpalace_addons.calls.tunnel import LEFT_OUT, PASSED, UNREAD, Tunnel
from moonpalace_addons.calls.websocket_calls import WebSocketCalls
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.recorder import Recorder
from moonpalace_addons.wire.foreign import quoted

SWITCHING = 101
NOT_READ = "messages of the WebSocket could not be read, and are not kept from there on; they passed all the same"
NO_STATUS, ABNORMAL = 1005, 1006
"""Close codes that mean no code, and a connection lost without a close frame (RFC 6455, section 7.4.1)."""


class Tunnels:
    """Keep the calls of tunnels open until the tunnels end."""

    name = "moonpalace-tunnels"
    watches = frozenset({"websocket_message"})
    """Events whose messages it never changes, so that our engine need not hold them."""

    def __init__(self, configuration: Configuration, calls: Calls, recorder: Recorder) -> None:
        self.configuration = configuration
        self.calls = calls
        self.recorder = recorder
        self._open: dict[str, tuple[Call, Tunnel]] = {}
        """By the ID of the client's connection, which a tunnel does not share."""

    def response(self, flow: HTTPFlow) -> None:
        """Start a tunnel; its call continues."""
        call = self.calls.get(flow)
        if call is None or flow.response is None or flow.response.status_code != SWITCHING:
            return
        name = (
            "WebSocket" if flow.websocket is not None else quoted(flow.response.headers.get("upgrade", "unknown"), 40)
        )
        call.streaming = True
        self._open[flow.client_conn.id] = call, call.add(Tunnel(name, time.monotonic()))
        if flow.websocket is not None:
            call.add(WebSocketCalls(call, self.recorder.put, self.calls.room, self.configuration.settings.max_body))

    def websocket_message(self, flow: HTTPFlow) -> None:
        """Count a message, and keep it."""
        if flow.websocket is None or flow.client_conn.id not in self._open:
            return
        last, left_out = flow.websocket.messages[-1], flow.metadata.pop(LEFT_OUT, 0)
        self._take(flow.client_conn, flow.websocket.messages, left_out)
        websocket = self._open[flow.client_conn.id][0].find(WebSocketCalls)
        if websocket is not None:
            websocket.take(last.content, from_client=last.from_client, is_text=last.is_text, left_out=left_out)

    def tcp_message(self, flow: TCPFlow) -> None:
        """Count bytes."""
        self._take(flow.client_conn, flow.messages)

    def _take(self, client: Client, messages: list[WebSocketMessage] | list[TCPMessage], left_out: int = 0) -> None:
        if client.id not in self._open:
            return
        last = messages[-1]
        self._open[client.id][1].count(len(last.content) + left_out, from_client=last.from_client)
        # Without an addon that shows or saves them, they would fill the memory until the end.
        if ctx.master.addons.get("view") is None and ctx.master.addons.get("dumper") is None:
            del messages[:-1]

    def websocket_end(self, flow: HTTPFlow) -> None:
        """End the call of a WebSocket, as failed if one side disconnected without a close frame."""
        websocket = flow.websocket
        if websocket is None:
            return
        code, by_client = websocket.close_code, websocket.closed_by_client
        closed = f"with code {code}" if code not in (None, NO_STATUS) else "without a code"
        if flow.error is not None and flow.error.msg == flow.error.KILLED_MESSAGE:
            self._end(flow.client_conn, by_client, "", KILLED)
        elif code == ABNORMAL:
            failure = CLIENT_LEFT if by_client else UPSTREAM_CUT
            self._end(flow.client_conn, by_client, "without closing the WebSocket", failure)
        else:
            self._end(flow.client_conn, by_client, closed)

    def tcp_end(self, flow: TCPFlow) -> None:
        """End the call of another protocol, on mitmproxy's own server."""
        self._end(flow.client_conn, None, "")

    tcp_error = tcp_end

    def moonpalace_tunnel_end(self, flow: HTTPFlow) -> None:
        """End the call of another protocol, on our engine."""
        tunnel = self._open.get(flow.client_conn.id)
        if tunnel is None:
            return
        to_api, to_client, by_client, failure = flow.metadata.pop(PASSED)
        tunnel[1].size.update({True: to_api, False: to_client})
        self._end(flow.client_conn, by_client, "", failure)

    def client_disconnected(self, client: Client) -> None:
        """End the call of a tunnel that did not start."""
        self._end(client, True, "before anything could pass", CLIENT_LEFT)

    def _end(self, client: Client, by_client: bool | None, how: str, failure: Failure | None = None) -> None:
        call, tunnel = self._open.pop(client.id, (None, None))
        if call is None or tunnel is None or self.calls.end(call.flow) is None:
            return
        if call.given_up is not None:
            how_ended = "the proxy ended it"
        else:
            side = {True: "the client ended it", False: "the API ended it", None: "it ended"}[by_client]
            how_ended = f"{side} {how}".strip()
        websocket = call.find(WebSocketCalls)
        call.warnings.append(
            f"{description(tunnel, websocket)}; {how_ended} after {time.monotonic() - tunnel.began:.1f} s"
        )
        if call.flow.metadata.pop(UNREAD, False):
            call.warnings.append(NOT_READ)
        if websocket is not None:
            websocket.end(*(call.given_up or (failure or (CLIENT_LEFT if by_client else UPSTREAM_CUT), how_ended)))
        why = call.given_up or ((failure, how_ended) if failure is not None else ())
        self.recorder.put(ended(call, *why))

    def done(self) -> None:
        """End the calls whose tunnels mitmproxy has not ended at its own end."""
        for call, _ in list(self._open.values()):
            call.given_up = call.given_up or (PROXY_STOPPED, STOPPED)
            self._end(call.flow.client_conn, None, "")


def description(tunnel: Tunnel, websocket: WebSocketCalls | None) -> str:
    """Describe the data that passed through a tunnel, and which of it is kept elsewhere or not at all."""
    counts = []
    for from_client, side in ((True, "the client"), (False, "the API")):
        messages = f"{tunnel.messages[from_client]} messages, " if tunnel.protocol == "WebSocket" else ""
        counts.append(f"from {side} {messages}{tunnel.size[from_client]} bytes")
    amounts = "; ".join(counts)
    if websocket is None:
        return f"what passed through the tunnel ({tunnel.protocol}) is not kept: {amounts}"
    calls = f"; calls in it with rows of their own: {websocket.count}" if websocket.count else ""
    return f"what passed through the WebSocket: {amounts}{calls}"
