"""Tunnels after an answer 101: raw bytes in both directions, or WebSocket messages that addons may change."""

import time
from typing import TYPE_CHECKING

from mitmproxy.websocket import WebSocketData, WebSocketMessage

from moonpalace_addons.calls.control import CONTROLS
from moonpalace_addons.calls.failures import CLIENT_LEFT, of_exception
from moonpalace_addons.calls.tunnel import PASSED
from moonpalace_addons.engine.websocket import Messages

if TYPE_CHECKING:
    from moonpalace_addons.engine.api import ApiConnection
    from moonpalace_addons.engine.base_journey import BaseJourney


class Tunnel:
    """A client and an API connection that exchange another protocol."""

    def __init__(self, journey: "BaseJourney", api: "ApiConnection", rest: bytes) -> None:
        self.journey = journey
        self.flow = journey.flow
        self.client = journey.client
        self.api = api
        self.service = journey.service
        self._early = [rest] if rest else []
        self._has_begun = self.is_closed = False
        self._end: tuple[bool | None, Exception | None] = None, None
        self.to_api_size = self.to_client_size = 0
        api.detach()
        api.on_data, api.on_close, api.on_room = self.from_api, self.close, self.api_room
        api.pause()  # until it begins, for which addons may be awaited

    def begin(self, rest: bytes) -> None:
        """Forward the data received so far, from the API and (`rest`) from the client."""
        self._has_begun = True
        self.opened()
        early, self._early = self._early, []
        for data in early:
            self.from_api(data)
        if rest:
            self.from_client(rest)
        if not self.client.is_full:
            self.api.resume()

    def opened(self) -> None:
        """Prepare before the first byte; overridden by subclasses."""

    def from_client(self, data: bytes) -> None:
        """Forward data from the client."""
        self.journey.active = time.time()
        self.to_api_size += len(data)
        self.to_api(data)

    def from_api(self, data: bytes) -> None:
        """Forward data from the API."""
        self.journey.active = time.time()
        if self._has_begun:
            self.to_client_size += len(data)
            self.client.write(data)
        else:
            self._early.append(data)

    def to_api(self, data: bytes) -> None:
        """Write to the API."""
        self.api.transport.write(data)

    def client_room(self, has_room: bool) -> None:
        """Resume or pause reading from the API as the client's write buffer drains or fills."""
        (self.api.resume if has_room else self.api.pause)()

    def api_room(self, has_room: bool) -> None:
        """Resume or pause reading from the client as the API's write buffer drains or fills."""
        if not self.client.transport.is_closing():
            (self.client.transport.resume_reading if has_room else self.client.transport.pause_reading)()

    def go_away(self) -> None:
        """Close the tunnel because the proxy is stopping."""
        self.close(None)

    def inject(self, message: WebSocketMessage) -> bool:
        """Send a message of the user; return whether the protocol has messages."""
        return False

    def close(self, by_client: bool | None, error: Exception | None = None) -> None:
        """Close both sides once pending data is sent; `by_client` and `error` are the side that ended it, and why."""
        if self.is_closed:
            return
        self.is_closed = True
        self._end = by_client, error
        self.journey.tunnel = None
        CONTROLS.pop(self.flow.id, None)
        if self._has_begun:  # else some addons do not know of it yet
            self.closed(*self._end)
        self.api.close()
        self.client.close()

    def abandon(self) -> None:
        """End a tunnel that cannot begin, once all addons know of it."""
        self.close(self.client.is_gone or None)
        self.closed(*self._end)

    def closed(self, by_client: bool | None, error: Exception | None) -> None:
        """Notify addons of the end."""
        failure = None if error is None else CLIENT_LEFT if by_client else of_exception(error)
        self.flow.metadata[PASSED] = (self.to_api_size, self.to_client_size, by_client, failure)
        waiting = self.service.hooks.call("moonpalace_tunnel_end", self.flow)
        if waiting is not None:
            self.service.spawn(waiting)


class WebSocketTunnel(Tunnel):
    """A tunnel whose messages pass through mitmproxy's hooks, one at a time."""

    def __init__(self, journey: "BaseJourney", api: "ApiConnection", rest: bytes) -> None:
        super().__init__(journey, api, rest)
        self.flow.websocket = WebSocketData()
        self.messages = Messages(self.flow, self)

    def opened(self) -> None:
        """Call `websocket_start`."""
        self.flow.live = True
        self.messages.hook("websocket_start")

    def from_client(self, data: bytes) -> None:
        """Handle frames from the client."""
        self.journey.active = time.time()
        self.messages.receive(data, from_client=True)

    def from_api(self, data: bytes) -> None:
        """Handle frames from the API."""
        self.journey.active = time.time()
        if self._has_begun:
            self.messages.receive(data, from_client=False)
        else:
            self._early.append(data)

    def inject(self, message: WebSocketMessage) -> bool:
        """Pass a message of the user's through the hooks."""
        self.messages.inject(message)
        return True

    def go_away(self) -> None:
        """Send a close frame to both sides because the proxy is stopping."""
        self.messages.go_away()

    def closed(self, by_client: bool | None, error: Exception | None) -> None:
        """Notify addons of the end."""
        self.messages.close(by_client)
