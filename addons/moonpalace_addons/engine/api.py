"""The API's side: a connection that carries one request at a time, and the connections that are kept open."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from mitmproxy.connection import ConnectionState, Server

from moonpalace_addons.engine.errors import CallError, LostError
from moonpalace_addons.engine.events import Broken, Event
from moonpalace_addons.engine.parsing import ResponseReader
from moonpalace_addons.engine.receiving import Receiver
from moonpalace_addons.engine.targets import Target

if TYPE_CHECKING:
    from moonpalace_addons.engine.service import Service


class Asker(Protocol):
    """Who has asked the API something."""

    def receive(self, event: Event | CallError) -> None:
        """Take what has come, or what has gone wrong."""
        ...  # pragma: no cover


class ApiConnection(Receiver):
    """A connection to the API, or to the outgoing proxy on the way to it."""

    transport: asyncio.Transport

    def __init__(self, service: "Service", target: Target, server: Server) -> None:
        super().__init__(service.buffer)
        self.service = service
        self.target = target
        self.server = server
        self.asker: Asker | None = None
        self.reader = ResponseReader(bodyless=False)
        self.on_close: Callable[[bool, Exception | None], None] | None = None
        self.on_data: Callable[[bytes], None] | None = None
        self.on_room: Callable[[bool], None] | None = None
        self.is_reused = self.has_answered = self.is_closed = self._is_paused = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast(asyncio.Transport, transport)

    def send(self, asker: Asker, pieces: Sequence[bytes], *, bodyless: bool) -> None:
        """Send a request; `bodyless` says that its answer will have no body."""
        self.asker = asker
        self.has_answered = False
        self.reader = ResponseReader(bodyless=bodyless)
        if len(pieces) == 1:
            self.transport.write(pieces[0])
        else:
            self.transport.writelines(pieces)

    def data_received(self, data: bytes) -> None:
        """Read on; what nobody has asked for closes the connection."""
        if self.on_data is not None:
            self.on_data(data)
            return
        asker = self.asker
        if asker is None:
            self.abort()
            return
        self.has_answered = True
        for event in self.reader.feed(data, self.service.limits.head_size):
            asker.receive(event)
            if type(event) is Broken:
                self.abort()

    def eof_received(self) -> bool:
        """Take the end, which may be that of the answer."""
        asker = self.asker
        if asker is not None:
            for event in self.reader.close():
                asker.receive(event)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for an answer that it will not come."""
        self.is_closed = True
        self.server.state = ConnectionState.CLOSED
        self.server.timestamp_end = time.time()
        self.service.pool.forget(self)
        if self.on_close is not None:
            self.on_close(False, exc)
        asker, self.asker = self.asker, None
        if asker is not None:
            asker.receive(LostError(exc, begun=self.reader.has_begun))
        self.service.connector.disconnected(self)

    def pause_writing(self) -> None:
        """Tell a tunnel that the API is slow."""
        if self.on_room is not None:
            self.on_room(False)

    def resume_writing(self) -> None:
        """Tell a tunnel that it may go on."""
        if self.on_room is not None:
            self.on_room(True)

    def pause(self) -> None:
        """Read no more for now."""
        if not self._is_paused and not self.is_closed:
            self._is_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._is_paused and not self.is_closed:
            self._is_paused = False
            self.transport.resume_reading()

    def release(self) -> None:
        """Take the connection back after an answer: keep it open if both sides have done all they said."""
        self.asker = None
        self.resume()
        if self.reader.keep_alive and not self.transport.get_write_buffer_size():
            self.service.pool.put(self)
        else:
            self.close()

    def close(self) -> None:
        """Close the connection."""
        self.asker = None
        if not self.is_closed:
            self.transport.close()

    def abort(self) -> None:
        """Close the connection at once, whatever is under way."""
        self.asker = None
        if not self.is_closed:
            self.transport.abort()


class Pool:
    """The connections that are open and carry nothing, the latest used first."""

    def __init__(self) -> None:
        self._idle: dict[Target, list[ApiConnection]] = {}

    def take(self, target: Target) -> ApiConnection | None:
        """Return an open connection, None if there is none."""
        idle = self._idle.get(target)
        while idle:
            api = idle.pop()
            if not api.transport.is_closing():
                api.is_reused = True
                return api
        return None

    def put(self, api: ApiConnection) -> None:
        """Keep a connection open."""
        if api.is_closed or api.transport.is_closing():
            return
        api.idle_since = time.monotonic()
        self._idle.setdefault(api.target, []).append(api)

    def forget(self, api: ApiConnection) -> None:
        """Drop a connection that was closed."""
        idle = self._idle.get(api.target)
        if idle and api in idle:
            idle.remove(api)

    def close_idle(self, before: float) -> None:
        """Close the connections that have carried nothing since a moment of the monotonic clock."""
        for idle in self._idle.values():
            for api in [each for each in idle if each.idle_since < before]:
                idle.remove(api)
                api.close()
