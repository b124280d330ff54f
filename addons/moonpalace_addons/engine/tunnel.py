"""What follows an answer 101: bytes that pass both ways, or WebSocket messages that addons see."""

import time
from typing import TYPE_CHECKING

from mitmproxy.websocket import WebSocketData

from moonpalace_addons.calls.control import CONTROLS
from moonpalace_addons.calls.failures import CLIENT_LEFT, of_exception
from moonpalace_addons.engine.websocket import Messages
from moonpalace_addons.tunnels import PASSED

if TYPE_CHECKING:
    from moonpalace_addons.engine.api import ApiConnection
    from moonpalace_addons.engine.course import Course


class Tunnel:
    """Two connections that speak another protocol with each other."""

    def __init__(self, journey: "Course", api: "ApiConnection", rest: bytes) -> None:
        self.journey = journey
        self.flow = journey.flow
        self.client = journey.client
        self.api = api
        self.service = journey.service
        self._early = [rest] if rest else []
        self._has_begun = self._is_closed = False
        self.to_api_size = self.to_client_size = 0
        api.asker = None
        api.on_data, api.on_close, api.on_room = self.from_api, self.close, self.api_room

    def begin(self, rest: bytes) -> None:
        """Pass on what has come already, from the API and (`rest`) from the client."""
        self._has_begun = True
        self.opened()
        early, self._early = self._early, []
        for data in early:
            self.from_api(data)
        if rest:
            self.from_client(rest)

    def opened(self) -> None:
        """Do what is to be done before the first byte."""

    def from_client(self, data: bytes) -> None:
        """Pass on what the client has sent."""
        self.journey.active = time.time()
        self.to_api_size += len(data)
        self.to_api(data)

    def from_api(self, data: bytes) -> None:
        """Pass on what the API has sent."""
        self.journey.active = time.time()
        if self._has_begun:
            self.to_client_size += len(data)
            self.client.write(data)
        else:
            self._early.append(data)

    def to_api(self, data: bytes) -> None:
        """Write to the API."""
        if not self.api.is_closed:
            self.api.transport.write(data)

    def client_room(self, has_room: bool) -> None:
        """Read from the API only while the client takes what it sends."""
        (self.api.resume if has_room else self.api.pause)()

    def api_room(self, has_room: bool) -> None:
        """Read from the client only while the API takes what it sends."""
        if not self.client.transport.is_closing():
            (self.client.transport.resume_reading if has_room else self.client.transport.pause_reading)()

    def go_away(self) -> None:
        """Close it because the proxy stops."""
        self.close(None)

    def close(self, by_client: bool | None, error: Exception | None = None) -> None:
        """Close both sides, once what was sent is delivered; say which side ended it, and what went wrong there."""
        if self._is_closed:
            return
        self._is_closed = True
        CONTROLS.pop(self.flow.id, None)
        self.closed(by_client, error)
        self.api.close()
        if not self.client.is_gone:
            self.client.transport.close()

    def closed(self, by_client: bool | None, error: Exception | None) -> None:
        """Tell addons of the end."""
        failure = None if error is None else CLIENT_LEFT if by_client else of_exception(error)
        self.flow.metadata[PASSED] = (self.to_api_size, self.to_client_size, by_client, failure)
        waiting = self.service.hooks.call("moonpalace_tunnel_end", self.flow)
        if waiting is not None:
            self.service.spawn(waiting)


class WebSocketTunnel(Tunnel):
    """A tunnel whose messages go through mitmproxy's hooks, one after the other."""

    def __init__(self, journey: "Course", api: "ApiConnection", rest: bytes) -> None:
        super().__init__(journey, api, rest)
        self.flow.websocket = WebSocketData()
        self.messages = Messages(self.flow, self)

    def opened(self) -> None:
        """Tell addons of it."""
        self.flow.live = True
        self.messages.hook("websocket_start")

    def from_client(self, data: bytes) -> None:
        """Take frames of the client."""
        self.journey.active = time.time()
        self.messages.receive(data, from_client=True)

    def from_api(self, data: bytes) -> None:
        """Take frames of the API."""
        self.journey.active = time.time()
        if self._has_begun:
            self.messages.receive(data, from_client=False)
        else:
            self._early.append(data)

    def go_away(self) -> None:
        """Tell both sides that the proxy stops."""
        self.messages.go_away()

    def closed(self, by_client: bool | None, error: Exception | None) -> None:
        """Tell addons of the end."""
        self.messages.close(by_client)


def make_tunnel(journey: "Course", api: "ApiConnection", rest: bytes) -> Tunnel:
    """Return the tunnel for what an API has agreed to."""
    response, request = journey.flow.response, journey.flow.request
    upgrade = response.headers.get("upgrade", "") if response is not None else ""
    is_websocket = upgrade.lower() == "websocket" and request.headers.get("sec-websocket-version") == "13"
    return (WebSocketTunnel if is_websocket else Tunnel)(journey, api, rest)
