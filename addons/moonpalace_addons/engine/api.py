"""Connections to the API, each with one request at a time, and the pool of idle ones."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from mitmproxy.connection import ConnectionState, Server

from moonpalace_addons.engine.endpoint import Endpoint
from moonpalace_addons.engine.errors import CallError, ConnectionLostError
from moonpalace_addons.engine.events import Event, Malformed
from moonpalace_addons.engine.parsing import ResponseReader
from moonpalace_addons.engine.targets import Target

if TYPE_CHECKING:
    from moonpalace_addons.engine.service import Service


class EventReceiver(Protocol):
    """The receiver of a connection's events."""

    def receive(self, event: Event | CallError) -> None:
        """Handle an event or an error."""
        ...  # pragma: no cover


class ApiConnection(Endpoint):
    """A connection to the API, or to the outgoing proxy in front of it."""

    def __init__(self, service: "Service", target: Target, server: Server) -> None:
        super().__init__(service.buffer)
        self.service = service
        self.target = target
        self.server = server
        self.receiver: EventReceiver | None = None
        self.reader = ResponseReader(bodyless=False)
        self.reader.stop()  # until a request is sent
        self.on_close: Callable[[bool, Exception | None], None] | None = None
        self.on_data: Callable[[bytes], None] | None = None
        self.on_room: Callable[[bool], None] | None = None
        self.is_reused = self.has_answered = self._is_paused = False
        self.idle_since = 0.0
        self._loss: Exception | None = None

    def send(self, receiver: EventReceiver, pieces: Sequence[bytes], *, bodyless: bool) -> None:
        """Send a request; `bodyless` means that its answer has no body."""
        if self.is_gone:  # since it was opened, during a hook
            receiver.receive(ConnectionLostError(self._loss, begun=False))
            return
        self.receiver = receiver
        self.has_answered = False
        if len(pieces) == 1:
            self.transport.write(pieces[0])
        else:
            self.transport.writelines(pieces)
        self.reader = self.reader.next(bodyless=bodyless)

    def data_received(self, data: bytes) -> None:
        """Pass the data on as events; abort the connection if no request is pending."""
        if self.on_data is not None:
            self.on_data(data)
            return
        receiver = self.receiver
        if receiver is None:
            self.abort()
            return
        self.has_answered = True
        for event in self.reader.feed(data, self.service.limits.max_head_size):
            receiver.receive(event)
            if type(event) is Malformed:
                self.abort()

    def eof_received(self) -> bool:
        """Handle the end of the data, which may end the answer."""
        receiver = self.receiver
        if receiver is not None:
            for event in self.reader.close():
                receiver.receive(event)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the loss to a pending request."""
        super().connection_lost(exc)
        self._loss = exc
        self.server.state = ConnectionState.CLOSED
        self.server.timestamp_end = time.time()
        self.service.pool.forget(self)
        if self.on_close is not None:
            self.on_close(False, exc)
        self.on_data = self.on_close = self.on_room = None
        receiver = self.receiver
        self.detach()
        if receiver is not None:
            receiver.receive(ConnectionLostError(exc, begun=self.reader.has_begun))
        self.service.connector.disconnected(self)

    def pause_writing(self) -> None:
        """Tell a tunnel that the API's write buffer is full."""
        if self.on_room is not None:
            self.on_room(False)

    def resume_writing(self) -> None:
        """Notify a tunnel that the API can be written to again."""
        if self.on_room is not None:
            self.on_room(True)

    def pause(self) -> None:
        """Pause reading."""
        if not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Resume reading."""
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()

    def detach(self) -> None:
        """Stop passing events on, and parsing them."""
        self.receiver = None
        self.reader.stop()

    def release(self) -> None:
        """Return the connection to the pool after an answer, or close it if it cannot be reused."""
        self.receiver = None
        self.resume()
        if self.reader.keep_alive and not self.get_write_buffer_size():
            self.service.pool.put(self)
        else:
            self.close()

    def close(self) -> None:
        """Close the connection."""
        self.detach()
        super().close()

    def abort(self) -> None:
        """Close the connection immediately, discarding pending data."""
        self.detach()
        super().abort()


class Pool:
    """Idle connections, most recently used first."""

    def __init__(self) -> None:
        self._idle: dict[Target, list[ApiConnection]] = {}

    def take(self, target: Target) -> ApiConnection | None:
        """Return an idle connection, or None."""
        idle = self._idle.get(target)
        while idle:
            api = idle.pop()
            if not api.transport.is_closing():
                api.is_reused = True
                return api
        return None

    def put(self, api: ApiConnection) -> None:
        """Add an idle connection, unless it is closing."""
        if api.transport.is_closing():
            return
        api.idle_since = time.monotonic()
        self._idle.setdefault(api.target, []).append(api)

    def forget(self, api: ApiConnection) -> None:
        """Remove a closed connection."""
        idle = self._idle.get(api.target)
        if idle and api in idle:
            idle.remove(api)

    def close_idle(self, before: float) -> None:
        """Close the connections idle since before a time of the monotonic clock."""
        for idle in self._idle.values():
            for api in [each for each in idle if each.idle_since < before]:
                idle.remove(api)
                api.close()
