"""Make mitmproxy's command `inject.websocket` work on our engine."""

from mitmproxy import command
from mitmproxy.flow import Flow
from mitmproxy.http import HTTPFlow
from mitmproxy.websocket import WebSocketMessage

from moonpalace_addons.mitm import flow_control
from moonpalace_addons.mitm.proxy_server import proxyserver
from moonpalace_addons.wire.websocket_frames import BINARY, TEXT


class WebSocketInjection:
    """Replace the command, which knows only the connections of mitmproxy's own server."""

    name = "moonpalace-websocket-injection"

    @command.command("inject.websocket")  # type: ignore[untyped-decorator]
    def inject(self, flow: Flow, to_client: bool, message: bytes, is_text: bool = True) -> None:
        """Send a message to the client or the server of a WebSocket, as if the other side had sent it."""
        injected = WebSocketMessage(TEXT if is_text else BINARY, not to_client, message, injected=True)
        if not (isinstance(flow, HTTPFlow) and flow_control.inject_message(flow, injected)):
            proxyserver().inject_websocket(flow, to_client, message, is_text)
