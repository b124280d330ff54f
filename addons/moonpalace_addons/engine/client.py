"""Client connections, whose requests are handled one at a time, in order."""

import asyncio
import logging
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.http import HTTPFlow

from moonpalace_addons.engine.endpoint import Endpoint
from moonpalace_addons.engine.errors import CallError, RequestError
from moonpalace_addons.engine.events import End, Event, Malformed, Pieces, RequestHead, Switch
from moonpalace_addons.engine.framing import CONTINUE, plain_answer
from moonpalace_addons.engine.journey import Journey
from moonpalace_addons.engine.parsing import RequestReader
from moonpalace_addons.engine.targets import Target
from moonpalace_addons.wire.faces.table import error_body

if TYPE_CHECKING:
    from moonpalace_addons.engine.service import Service
    from moonpalace_addons.engine.tunnel import Tunnel

logger = logging.getLogger(__name__)

PROBE_DELAYS = (0.02, 0.1, 0.5)
"""Seconds between probes of a client that has closed its sending side; the last one repeats."""
HALF_CLOSE_WINDOW = 1.0
"""Seconds after a request within which its client may close its sending side; later, that means it has disconnected."""
MAX_QUEUED_EVENTS = 100
"""Queued events of pipelined requests above which reading is paused."""


class ClientConnection(Endpoint):
    """A client's connection."""

    connection: Client

    def __init__(self, service: "Service") -> None:
        super().__init__(service.buffer)
        self.service = service
        self.reader = RequestReader()
        self.journey: Journey | None = None
        self.is_full = self.is_half_closed = False
        self.last_active = 0.0
        self.request_started: float | None = None
        self._events: deque[Event] = deque()
        self._tunnel: Tunnel | None = None
        self._server: Server | None = None
        self._is_open = self._is_paused = self._discards_input = self._is_advancing = self._has_written = False

    # ---- the transport's calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Call `client_connected`, which may refuse the client."""
        super().connection_made(transport)
        self.last_active = time.monotonic()
        self.connection = self.service.client_of(self.transport)
        self.service.opened(self)
        waiting = self.service.hooks.notify("client_connected", self.connection)
        if waiting is None:
            self._accepted()
        else:
            self.service.spawn(self._await_acceptance(waiting))

    async def _await_acceptance(self, waiting: Awaitable[None]) -> None:
        await waiting
        self._accepted()

    def _accepted(self) -> None:
        if self.is_gone:
            return  # while the hook was awaited
        if self.connection.error:
            self.abort()
        else:
            self._is_open = True
            self._await_request()
            self.advance()

    def _await_request(self) -> None:
        if self._is_open and self.journey is None and not self._events and not self.reader.is_partial:
            self.service.idle(self)

    def data_received(self, data: bytes) -> None:
        """Parse and handle the client's data."""
        self.last_active = time.monotonic()
        if self._tunnel is not None:
            self._tunnel.from_client(data)
            return
        if self._discards_input:
            return
        if self.request_started is None and not self.reader.is_partial:
            self.request_started = time.time()
            if data[0] == 0x16 and not self.connection.tls:
                self._refuse_tls()
                return
        try:
            events = self.reader.feed(data, self.service.limits.max_head_size)
            if not events and not self.reader.is_partial:
                self.request_started = None  # empty lines between requests
                self._await_request()
                return
            self.service.busy(self)
            self._events += events
            self.advance()
        except Exception:
            logger.exception("closed a client's connection because of a fault in MoonPalace")
            self.abort()
            return
        if self.reader.is_partial:
            self.service.track_partial(self)

    def _refuse_tls(self) -> None:
        logger.warning(
            "a client at %s uses TLS, but this address serves plain HTTP: use http:// in its base_url, or start the "
            "proxy with a certificate",
            self.connection.peername[0],
        )
        self.abort()

    def eof_received(self) -> bool:
        """Continue the current call, as a client may close only its sending side."""
        if self._tunnel is not None:
            self._tunnel.close(True)
            return False
        self.is_half_closed = True
        if self.reader.is_partial or self._discards_input or (self.journey is None and not self._events):
            return False
        journey = self.journey
        if journey is not None and journey.delivery.begun and time.time() - journey.active_since > HALF_CLOSE_WINDOW:
            return False
        self._has_written = False
        self._probe(0)
        return not self.connection.tls

    def _probe(self, number: int) -> None:
        """Check whether a client that has closed its sending side is gone: writing to it then fails.

        A client that closes only its sending side does so right after the request, perhaps after the answer has begun.
        """
        journey = self.journey
        if journey is None or self.is_gone or self.transport.is_closing():
            return
        sock = cast(socket.socket | None, self.transport.get_extra_info("socket"))
        if sock is not None and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.abort()
            return
        if number == 0 and not journey.delivery.begun and journey.head.version != b"HTTP/1.0":
            self.write(CONTINUE)  # always allowed, and clients ignore it
        if number == len(PROBE_DELAYS) and journey.delivery.begun and not self._has_written:
            self.abort()  # during an answer there is nothing to probe with
            return
        delay = PROBE_DELAYS[min(number, len(PROBE_DELAYS) - 1)]
        asyncio.get_running_loop().call_later(delay, self._probe, number + 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the current call or tunnel."""
        super().connection_lost(exc)
        self.reader.stop()
        self.connection.state = ConnectionState.CLOSED
        self.connection.timestamp_end = time.time()
        self.service.closed(self)
        if self._tunnel is not None:
            self._tunnel.close(True, exc)
            self._tunnel = None
        if self.journey is not None:
            self.journey.client_lost()
        waiting = self.service.hooks.notify("client_disconnected", self.connection)
        if waiting is not None:
            self.service.spawn(waiting)

    def pause_writing(self) -> None:
        """Pause reading from the API until the client has read the pending data."""
        self.is_full = True
        if self._tunnel is not None:
            self._tunnel.client_room(False)
        elif self.journey is not None:
            self.journey.upstream.pause()

    def resume_writing(self) -> None:
        """Resume reading from the API."""
        self.is_full = False
        if self._tunnel is not None:
            self._tunnel.client_room(True)
        elif self.journey is not None and not self.journey.is_busy:
            self.journey.upstream.resume()

    # ---- requests -------------------------------------------------------------------------------------------------

    @property
    def has_more(self) -> bool:
        """Tell whether events of the client are queued."""
        return bool(self._events)

    def advance(self) -> None:
        """Handle queued events as far as the current call allows."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._events and self._may_advance(self._events[0]):
                self._handle(self._events.popleft())
        finally:
            self._is_advancing = False
        self._update_reading()

    def _may_advance(self, event: Event) -> bool:
        if not self._is_open or self._tunnel is not None or self._discards_input or self.is_gone:
            return False
        if self.journey is None:
            return True
        return type(event) in (Pieces, End, Malformed) and self.journey.wants_request

    def _update_reading(self) -> None:
        """Pause or resume reading depending on the queued events."""
        waits = len(self._events) > MAX_QUEUED_EVENTS or (bool(self._events) and self.journey is not None)
        if waits is not self._is_paused and not self.is_half_closed and not self.transport.is_closing():
            self._is_paused = waits
            (self.transport.pause_reading if waits else self.transport.resume_reading)()

    def _handle(self, event: Event) -> None:
        journey = self.journey
        if isinstance(event, RequestHead):
            self._begin(event)
        elif isinstance(event, Malformed):
            self._refuse(event.error)
        elif isinstance(event, Switch):
            if self.journey is None:
                self._events.extendleft(reversed(self.reader.feed(event.rest, self.service.limits.max_head_size)))
        elif journey is None:
            pass  # the rest of a refused request
        elif isinstance(event, Pieces):
            journey.guard(journey.request_pieces, event.pieces)
        elif isinstance(event, End):
            journey.guard(journey.request_end, event)

    def _begin(self, head: RequestHead) -> None:
        self.service.hooks.refresh()
        try:
            self.journey = journey = Journey(self, head, self.request_started or time.time())
        except RequestError as error:
            self._refuse(error)
            return
        self.request_started = None
        journey.guard(journey.begin)

    def _refuse(self, error: CallError) -> None:
        """Answer an unreadable request, and close the connection: the start of the next request is unknown."""
        if self.journey is not None:
            self._discards_input = True
            self.journey.fail(error)
            return
        status = getattr(error, "status", 400)
        logger.info("refused a request: %s", error)
        self.write(plain_answer(status, error_body(str(error), error.failure.kind)))
        self.finished(closes=True, unread=True)

    def finished(self, *, closes: bool, unread: bool = False) -> None:
        """Continue with the next request, or close the connection once the answer is sent."""
        unread = unread or (self.journey is not None and not self.journey.is_request_complete)
        self.journey = None
        self.last_active = time.monotonic()
        if self.is_gone:
            return
        if closes or (self.is_half_closed and not self._events):
            self._end(unread=unread or bool(self._events))
            return
        self._await_request()
        if not self._is_advancing:
            asyncio.get_running_loop().call_soon(self.advance) if self._events else self._update_reading()

    def _end(self, *, unread: bool) -> None:
        """Close the connection, reading on for `linger_timeout` seconds if the client still sends.

        Closing with unread data would reset the connection, and the client could lose the answer.
        """
        self._events.clear()
        if not unread or self.is_half_closed:
            self.close()
            return
        self._discards_input = True
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()
        if self.transport.can_write_eof():
            with suppress(OSError):  # already reset by the client
                self.transport.write_eof()
        asyncio.get_running_loop().call_later(self.service.limits.linger_timeout, self.close)

    def discard_request(self) -> None:
        """Discard the rest of the request, as its answer is known."""
        self._discards_input = True
        self._events.clear()

    # ---- writing and closing ----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send data, unless the client is gone."""
        if not self.is_gone:
            self._has_written = True
            self.transport.write(data)

    def abort_response(self, at_once: bool) -> None:
        """Close the connection during an answer, so that the client sees that it is incomplete."""
        self.journey = None
        if self.is_gone:
            return
        self._discards_input = True
        self._events.clear()
        if at_once:
            # If the end of the connection ends the answer, only a reset shows that it is incomplete.
            sock = cast(socket.socket | None, self.transport.get_extra_info("socket"))
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.abort()
        else:
            self.close()

    def begin_tunnel(self, tunnel: "Tunnel") -> None:
        """Pass all further data to a tunnel."""
        self.journey = None
        self._tunnel = tunnel
        rest = b"".join(event.rest for event in self._events if isinstance(event, Switch))
        self._events.clear()
        self._update_reading()
        tunnel.begin(rest)

    def drain(self) -> bool:
        """Close the connection after its current call; tell whether it is still busy."""
        if self._tunnel is not None:
            return False
        if self.journey is not None:
            self.journey.delivery.closes = True
            return True
        is_sending = bool(self.get_write_buffer_size())
        if not self._discards_input and not is_sending:
            self.close()
        return is_sending

    def next_server(self) -> Server:
        """Return the server object of the next flow, which is not connected yet."""
        if self._server is None or self._server.timestamp_start is not None:
            self._server = self.service.server_of(self.service.target)
        return self._server

    def server_for(self, flow: HTTPFlow, target: Target) -> Server:
        """Return the server to connect to for a flow, which an addon may have redirected."""
        server = flow.server_conn
        if server.timestamp_start is not None or server.address != (target.host, target.port):
            flow.server_conn = server = self.service.server_of(target)
        server.tls = target.scheme == "https"
        return server

    def check_timeouts(self, now: float) -> None:
        """Close the connection if the client has been silent too long; `now` is of the monotonic clock."""
        limits = self.service.limits
        silent = now - self.last_active
        if self._tunnel is not None or self.journey is not None:
            return  # the call has its own timeouts
        if self.reader.is_partial and silent > limits.head_timeout:
            self.time_out()
        elif silent > limits.client_idle_timeout:
            self.close()

    def time_out(self) -> None:
        """Fail a request that the client does not complete."""
        if self.journey is None and not self._discards_input:
            self._refuse(RequestError("the request was not received in time", 408))
        elif self.journey is not None and not self.journey.is_request_complete:
            self.journey.fail(RequestError("the request was not received in time", 408))
