"""Pass the bytes of a WebSocket unchanged and at once, and show its messages to addons that only watch.

If another addon takes part, which may change or hold messages, `engine/websocket.py` passes them one by one instead.
"""

import logging
from collections import deque
from typing import TYPE_CHECKING

from mitmproxy.websocket import WebSocketData, WebSocketMessage
from wsproto.frame_protocol import CloseReason, Opcode

from moonpalace_addons.calls.kept_answer import DEFAULT_ROOM
from moonpalace_addons.calls.tunnel import LEFT_OUT, UNREAD
from moonpalace_addons.engine.tunnel import Tunnel
from moonpalace_addons.engine.websocket import note_end
from moonpalace_addons.wire.websocket_frames import (
    CLOSE,
    TEXT,
    FrameReader,
    Message,
    close_code,
    close_frame,
    message_frame,
)

if TYPE_CHECKING:
    from moonpalace_addons.engine.api import ApiConnection
    from moonpalace_addons.engine.base_journey import BaseJourney

logger = logging.getLogger(__name__)


class WatchedTunnel(Tunnel):
    """A WebSocket whose frames are read from a copy."""

    def __init__(self, journey: "BaseJourney", api: "ApiConnection", rest: bytes) -> None:
        super().__init__(journey, api, rest)
        self.flow.websocket = WebSocketData()
        response, limit = self.flow.response, self.service.limits.max_body_size or DEFAULT_ROOM
        extensions = response.headers.get("sec-websocket-extensions", "") if response is not None else ""
        self._readers = {side: FrameReader(extensions, limit, is_client=side) for side in (True, False)}
        self._injected: deque[WebSocketMessage] = deque()
        self._has_failed = False

    def opened(self) -> None:
        """Call `websocket_start`."""
        self.flow.live = True
        self._hook("websocket_start")

    def from_client(self, data: bytes) -> None:
        """Forward data from the client."""
        super().from_client(data)
        self._watch(data, from_client=True)

    def from_api(self, data: bytes) -> None:
        """Forward data from the API."""
        super().from_api(data)
        if self._has_begun:
            self._watch(data, from_client=False)

    def _watch(self, data: bytes, *, from_client: bool) -> None:
        if self._has_failed:
            return
        try:
            for message in self._readers[from_client].feed(data):
                self._show(message, from_client=from_client)
            if self._injected:
                self._send_injected()
        except Exception:
            self._has_failed = True
            logger.exception("the messages of a WebSocket are not recorded because of a fault in MoonPalace; they pass")

    def _show(self, message: Message, *, from_client: bool) -> None:
        websocket = self.flow.websocket
        if websocket is None:
            return
        if message.kind == CLOSE:
            code, reason = close_code(message.data)
            note_end(self.flow, from_client, CloseReason.NO_STATUS_RCVD if code is None else code, reason)
            return
        kind = Opcode.TEXT if message.kind == TEXT else Opcode.BINARY
        websocket.messages.append(WebSocketMessage(kind, from_client, message.data))
        if message.left_out:
            self.flow.metadata[LEFT_OUT] = message.left_out
        self._hook("websocket_message")

    def inject(self, message: WebSocketMessage) -> bool:
        """Send a message of the user's, once its side is between two messages."""
        websocket = self.flow.websocket
        if websocket is None or websocket.timestamp_end is not None:
            logger.warning("a message is not sent: its WebSocket is closing")
        elif self._has_failed or self._readers[message.from_client].is_lost:
            logger.warning("a message is not sent: what passes through its WebSocket cannot be read")
        else:
            self._injected.append(message)
            self._send_injected()
        return True

    def _send_injected(self) -> None:
        for message in [each for each in self._injected if self._readers[each.from_client].is_between_messages]:
            self._injected.remove(message)
            is_text, side = message.type == Opcode.TEXT, message.from_client
            frame = message_frame(message.content, is_text=is_text, is_client=side)
            (self.to_api if side else self.client.write)(frame)
            if self.flow.websocket is not None:
                self.flow.websocket.messages.append(message)
                self._hook("websocket_message")

    def _hook(self, name: str) -> None:
        if (waiting := self.service.hooks.call(name, self.flow)) is not None:
            self.service.spawn(waiting)

    def go_away(self) -> None:
        """Send a close frame to both sides, where no other frame is under way, because the proxy is stopping."""
        code, reason = CloseReason.GOING_AWAY, "the proxy stops"
        note_end(self.flow, None, code, reason)
        if self._readers[False].is_between_frames:
            self.client.write(close_frame(code, reason, is_client=False))
        if self._readers[True].is_between_frames:
            self.to_api(close_frame(code, reason, is_client=True))
        self.close(None)

    def closed(self, by_client: bool | None, error: Exception | None) -> None:
        """Notify addons of the end."""
        if self._injected:
            logger.warning("messages are not sent, because their WebSocket has ended: %d", len(self._injected))
        if self._has_failed or any(reader.is_lost for reader in self._readers.values()):
            self.flow.metadata[UNREAD] = True
        note_end(self.flow, by_client, CloseReason.ABNORMAL_CLOSURE, None)
        self._hook("websocket_end")
        self.flow.live = False
