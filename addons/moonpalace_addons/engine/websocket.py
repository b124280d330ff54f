"""Pass WebSocket messages through mitmproxy's hooks, which may change or drop them (RFC 6455, on wsproto)."""

import logging
import time
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

import wsproto
from mitmproxy.http import HTTPFlow
from mitmproxy.websocket import WebSocketMessage
from wsproto import events
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import CloseReason, Opcode

if TYPE_CHECKING:
    from moonpalace_addons.engine.client import ClientConnection
    from moonpalace_addons.engine.service import Service

logger = logging.getLogger(__name__)


class Endpoints(Protocol):
    """The two ends of the tunnel."""

    client: "ClientConnection"
    service: "Service"

    def to_api(self, data: bytes) -> None: ...  # noqa: D102
    def close(self, by_client: bool | None) -> None: ...  # noqa: D102


class Messages:
    """Parser of both sides' frames, which forwards the messages that the addons keep."""

    def __init__(self, flow: HTTPFlow, ends: Endpoints) -> None:
        self.flow = flow
        self.ends = ends
        offered = flow.response.headers.get("sec-websocket-extensions", "") if flow.response is not None else ""
        self._sides = {
            True: Connection(ConnectionType.SERVER, extensions(offered)),
            False: Connection(ConnectionType.CLIENT, extensions(offered)),
        }
        self._parts: dict[bool, list[bytes]] = {True: [], False: []}
        self._received: deque[tuple[bool, events.Event | WebSocketMessage]] = deque()
        self._busy = self._is_over = False

    def hook(self, name: str) -> bool:
        """Call a hook; return False if it must be awaited before the next message."""
        waiting = self.ends.service.hooks.call(name, self.flow)
        if waiting is None:
            return True
        self._busy = True
        self.ends.service.spawn(self._go_on(waiting))
        return False

    async def _go_on(self, waiting: Awaitable[None]) -> None:
        await waiting
        self._busy = False
        self._forward_last()
        self._advance()

    def receive(self, data: bytes, *, from_client: bool) -> None:
        """Handle bytes from one side."""
        if self._is_over:
            return
        side = self._sides[from_client]
        try:
            side.receive_data(data)
            self._received += [(from_client, event) for event in side.events()]
        except wsproto.utilities.ProtocolError as error:
            logger.info("closed a WebSocket connection: %s", error)
            self.ends.close(from_client)
            return
        self._advance()

    def inject(self, message: WebSocketMessage) -> None:
        """Queue a message of the user's behind those that have come."""
        self._received.append((message.from_client, message))
        self._advance()

    def _advance(self) -> None:
        while self._received and not self._busy and not self._is_over:
            self._take(*self._received.popleft())

    def _take(self, from_client: bool, event: events.Event | WebSocketMessage) -> None:
        if isinstance(event, WebSocketMessage):
            self._pass(event)
        elif isinstance(event, events.Message):
            data = event.data.encode() if isinstance(event.data, str) else bytes(event.data)
            self._parts[from_client].append(data)
            if event.message_finished:
                self._message(from_client, is_text=isinstance(event.data, str))
        elif isinstance(event, events.Ping | events.Pong):
            self._send(not from_client, event)
        elif isinstance(event, events.CloseConnection):
            self._close(from_client, event)

    def _message(self, from_client: bool, *, is_text: bool) -> None:
        parts, self._parts[from_client] = self._parts[from_client], []
        self._pass(WebSocketMessage(Opcode.TEXT if is_text else Opcode.BINARY, from_client, b"".join(parts)))

    def _pass(self, message: WebSocketMessage) -> None:
        assert self.flow.websocket is not None  # noqa: S101 - set by the tunnel
        self.flow.websocket.messages.append(message)
        self._unsent = True
        if self.hook("websocket_message"):
            self._forward_last()

    _unsent = False

    def _forward_last(self) -> None:
        """Forward the message that the hook has processed."""
        if not self._unsent or self.flow.websocket is None:
            return
        self._unsent = False
        message = self.flow.websocket.messages[-1]
        if self.flow.error is not None:  # killed
            self.ends.close(None)
        elif not message.dropped:
            content = message.content
            self._send(
                not message.from_client,
                events.TextMessage(content.decode("utf-8", "replace"))
                if message.type == Opcode.TEXT
                else events.BytesMessage(content),
            )

    def _send(self, to_client: bool, event: events.Event) -> None:
        side = self._sides[to_client]
        if side.state not in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            return
        data = side.send(event)
        if to_client:
            self.ends.client.write(data)
        else:
            self.ends.to_api(data)

    def _close(self, from_client: bool | None, event: events.CloseConnection) -> None:
        note_end(self.flow, from_client, int(event.code), event.reason)
        for to_client in (True, False):
            self._send(to_client, event)
        self.ends.close(from_client)

    def go_away(self) -> None:
        """Close both sides because the proxy is stopping."""
        self._close(None, events.CloseConnection(CloseReason.GOING_AWAY, "the proxy stops"))

    def close(self, by_client: bool | None) -> None:
        """Record the end of the tunnel, and call `websocket_end`."""
        if self._is_over:
            return
        self._is_over = True
        note_end(self.flow, by_client, CloseReason.ABNORMAL_CLOSURE, None)
        self.hook("websocket_end")
        self.flow.live = False


def note_end(flow: HTTPFlow, by_client: bool | None, code: int, reason: str | None) -> None:
    """Note who ended a WebSocket first, and how."""
    websocket = flow.websocket
    if websocket is not None and websocket.timestamp_end is None:
        websocket.timestamp_end = time.time()
        websocket.closed_by_client = by_client
        websocket.close_code = code
        websocket.close_reason = reason or ""


def extensions(offered: str) -> list[Extension]:
    """Return the negotiated extensions; only compression is supported."""
    found: list[Extension] = []
    for text in filter(None, (each.strip() for each in offered.split(","))):
        if text.split(";", 1)[0].strip() == PerMessageDeflate.name:
            deflate = PerMessageDeflate()
            deflate.finalize(text)
            found.append(deflate)
    return found
