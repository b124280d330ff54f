"""The client's side: a connection whose requests are answered one after the other, in order."""

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

from moonpalace_addons.engine.errors import CallError, RequestError
from moonpalace_addons.engine.events import Broken, End, Event, Pieces, RequestHead, Switch
from moonpalace_addons.engine.framing import CONTINUE, plain_answer
from moonpalace_addons.engine.journey import Journey
from moonpalace_addons.engine.parsing import RequestReader
from moonpalace_addons.engine.receiving import Receiver
from moonpalace_addons.engine.targets import Target
from moonpalace_addons.wire.chat import api_error

if TYPE_CHECKING:
    from moonpalace_addons.engine.service import Service
    from moonpalace_addons.engine.tunnel import Tunnel

logger = logging.getLogger(__name__)

PROBE_DELAYS = (0.02, 0.1, 0.5)
"""Seconds after which, again and again, a client that sends no more is asked whether it is still there."""
HALF_CLOSE_WINDOW = 1.0
"""Seconds after a request in which its client may close its own half; later, it has left."""
MAX_WAITING = 100
"""Events of requests that came ahead of their turn, after which no more is read."""


class ClientConnection(Receiver):
    """A client's connection."""

    transport: asyncio.Transport
    connection: Client

    def __init__(self, service: "Service") -> None:
        super().__init__(service.buffer)
        self.service = service
        self.reader = RequestReader()
        self.journey: Journey | None = None
        self.is_full = self.is_gone = self.is_half_closed = False
        self.heard = 0.0
        self.began: float | None = None
        self._events: deque[Event] = deque()
        self._tunnel: Tunnel | None = None
        self._server: Server | None = None
        self._is_open = self._is_paused = self._discards = self._advances = self._wrote = False

    # ---- the transport's calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, with the hook that may refuse the client."""
        self.transport = cast(asyncio.Transport, transport)
        self.heard = time.monotonic()
        self.connection = self.service.client_of(self.transport)
        self.service.opened(self)
        waiting = self.service.hooks.call("client_connected", self.connection)
        if waiting is None:
            self._accepted()
        else:
            self.service.spawn(self._await_acceptance(waiting))

    async def _await_acceptance(self, waiting: Awaitable[None]) -> None:
        await waiting
        self._accepted()

    def _accepted(self) -> None:
        if self.connection.error:
            self.abort()
        else:
            self._is_open = True
            self.advance()

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        self.heard = time.monotonic()
        if self._tunnel is not None:
            self._tunnel.from_client(data)
            return
        if self._discards:
            return
        if self.began is None:
            self.began = time.time()
            if data[0] == 0x16 and not self.connection.tls and not self.reader.is_partial:
                self._refuse_tls()
                return
        try:
            self._events += self.reader.feed(data, self.service.limits.head_size)
            self.advance()
        except Exception:
            logger.exception("a client's connection is closed because of a fault in MoonPalace")
            self.abort()
            return
        if self.reader.is_partial:
            self.service.half_sent(self)

    def _refuse_tls(self) -> None:
        logger.warning(
            "a client at %s speaks TLS, which this address does not: use http:// in its base_url, or start the proxy "
            "with a certificate",
            self.connection.peername[0],
        )
        self.abort()

    def eof_received(self) -> bool:
        """Go on with the call that is under way: a client may close only its own half."""
        if self._tunnel is not None:
            self._tunnel.close(True)
            return False
        self.is_half_closed = True
        if self.reader.is_partial or self._discards or (self.journey is None and not self._events):
            return False
        journey = self.journey
        if journey is not None and journey.delivery.begun and time.time() - journey.active_since > HALF_CLOSE_WINDOW:
            return False
        self._wrote = False
        self._probe(0)
        return not self.connection.tls

    def _probe(self, number: int) -> None:
        """Find out whether a client that sends no more has left: only then does what it gets come back refused.

        Who closes only its own half does so right after the request, be it that the answer has begun meanwhile.
        """
        journey = self.journey
        if journey is None or self.is_gone or self.transport.is_closing():
            return
        sock = cast(socket.socket | None, self.transport.get_extra_info("socket"))
        if sock is not None and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.abort()
            return
        if number == 0 and not journey.delivery.begun and journey.head.version != b"HTTP/1.0":
            self.write(CONTINUE)  # one is never wrong, and clients that have not left pass it over
        if number == len(PROBE_DELAYS) and journey.delivery.begun and not self._wrote:
            self.abort()  # in the midst of an answer nothing can be asked
            return
        delay = PROBE_DELAYS[min(number, len(PROBE_DELAYS) - 1)]
        asyncio.get_running_loop().call_later(delay, self._probe, number + 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is under way."""
        self.is_gone = True
        self.connection.state = ConnectionState.CLOSED
        self.connection.timestamp_end = time.time()
        self.service.closed(self)
        if self._tunnel is not None:
            self._tunnel.close(True, exc)
        if self.journey is not None:
            self.journey.client_lost()
        waiting = self.service.hooks.call("client_disconnected", self.connection)
        if waiting is not None:
            self.service.spawn(waiting)

    def pause_writing(self) -> None:
        """Read no more from the API until the client has taken what waits for it."""
        self.is_full = True
        if self._tunnel is not None:
            self._tunnel.client_room(False)
        elif self.journey is not None:
            self.journey.inquiry.pause()

    def resume_writing(self) -> None:
        """Read on from the API."""
        self.is_full = False
        if self._tunnel is not None:
            self._tunnel.client_room(True)
        elif self.journey is not None and not self.journey.is_busy:
            self.journey.inquiry.resume()

    # ---- requests -------------------------------------------------------------------------------------------------

    @property
    def has_more(self) -> bool:
        """Tell whether something of the client waits to be looked at."""
        return bool(self._events)

    @property
    def unsent(self) -> int:
        """Return how many bytes wait for the client to take them."""
        return self.transport.get_write_buffer_size()

    def advance(self) -> None:
        """Handle what has come, as far as it is its turn."""
        if self._advances:
            return
        self._advances = True
        try:
            while self._events and self._may_advance(self._events[0]):
                self._handle(self._events.popleft())
        finally:
            self._advances = False
        self._pace()

    def _may_advance(self, event: Event) -> bool:
        if not self._is_open or self._tunnel is not None or self._discards or self.is_gone:
            return False
        if self.journey is None:
            return True
        return not self.journey.is_busy and type(event) in (Pieces, End, Broken) and self.journey.wants_request

    def _pace(self) -> None:
        """Read no more while much waits for its turn."""
        waits = len(self._events) > MAX_WAITING or (bool(self._events) and self.journey is not None)
        if waits is not self._is_paused and not self.is_half_closed and not self.transport.is_closing():
            self._is_paused = waits
            (self.transport.pause_reading if waits else self.transport.resume_reading)()

    def _handle(self, event: Event) -> None:
        journey = self.journey
        if isinstance(event, RequestHead):
            self._begin(event)
        elif isinstance(event, Broken):
            self._refuse(event.error)
        elif isinstance(event, Switch):
            if self.journey is None:
                self._events.extendleft(reversed(self.reader.feed(event.rest, self.service.limits.head_size)))
        elif journey is None:
            pass  # of a request that has been refused
        elif isinstance(event, Pieces):
            journey.guard(journey.request_pieces, event.pieces)
        elif isinstance(event, End):
            journey.guard(journey.request_end, event.trailers)

    def _begin(self, head: RequestHead) -> None:
        self.service.hooks.look()
        try:
            self.journey = journey = Journey(self, head, self.began or time.time())
        except RequestError as error:
            self._refuse(error)
            return
        self.began = None
        journey.guard(journey.begin)

    def _refuse(self, error: CallError) -> None:
        """Answer a request that cannot be read, and close the connection, as nobody knows where the next one begins."""
        if self.journey is not None:
            self._discards = True
            self.journey.fail(error)
            return
        status = getattr(error, "status", 400)
        logger.info("refused a request: %s", error)
        self.write(plain_answer(status, api_error.body(str(error), error.failure.kind)))
        self.finished(closes=True, unread=True)

    def finished(self, *, closes: bool, unread: bool = False) -> None:
        """Go on with the next request, or close the connection once the answer has been taken."""
        unread = unread or (self.journey is not None and not self.journey.is_read)
        self.journey = None
        if self.is_gone:
            return
        if closes or (self.is_half_closed and not self._events):
            self._end(unread=unread or bool(self._events))
        elif not self._advances:
            asyncio.get_running_loop().call_soon(self.advance) if self._events else self._pace()

    def _end(self, *, unread: bool) -> None:
        """Close the connection; a client that still sends is read for a while: a reset would take the answer away."""
        self._events.clear()
        if not unread or self.is_half_closed:
            self.transport.close()
            return
        self._discards = True
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()
        if self.transport.can_write_eof():
            with suppress(OSError):  # it has reset the connection already
                self.transport.write_eof()
        asyncio.get_running_loop().call_later(self.service.limits.linger, self.transport.close)

    def stop_reading(self) -> None:
        """Take nothing more of the request, to which the answer is known."""
        self._discards = True
        self._events.clear()

    # ---- writing and closing ----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send something, unless the client is gone."""
        if not self.is_gone:
            self._wrote = True
            self.transport.write(data)

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def break_off(self, at_once: bool) -> None:
        """Close the connection in the midst of an answer, so that the client sees that it is not whole."""
        self.journey = None
        if self.is_gone:
            return
        self._discards = True
        self._events.clear()
        if at_once:
            # Where the end of the connection is that of the answer, only a reset says that it is not whole.
            sock = cast(socket.socket | None, self.transport.get_extra_info("socket"))
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()

    def begin_tunnel(self, tunnel: "Tunnel") -> None:
        """Pass on what follows, whatever it is."""
        self.journey = None
        self._tunnel = tunnel
        rest = b"".join(event.rest for event in self._events if isinstance(event, Switch))
        self._events.clear()
        self._pace()
        tunnel.begin(rest)

    def let_end(self) -> bool:
        """Have the connection closed behind its call, at once if there is none; tell whether there is."""
        if self._tunnel is not None:
            return False
        if self.journey is not None:
            self.journey.delivery.closes = True
            return True
        if not self._discards and not self.unsent:
            self.transport.close()
        return bool(self.unsent)

    def next_server(self) -> Server:
        """Return the server of the next flow, to which there is no connection yet."""
        if self._server is None or self._server.timestamp_start is not None:
            self._server = self.service.server_of(self.service.target)
        return self._server

    def server_for(self, flow: HTTPFlow, target: Target) -> Server:
        """Return the server to connect to for a flow, which an addon may have sent somewhere else."""
        server = flow.server_conn
        if server.timestamp_start is not None or server.address != (target.host, target.port):
            flow.server_conn = server = self.service.server_of(target)
        server.tls = target.scheme == "https"
        return server

    def look(self, now: float) -> None:
        """Close the connection if the client has been silent for too long."""
        limits = self.service.limits
        silent = now - self.heard
        if self._tunnel is not None or self.journey is not None:
            return  # the call's own limits count
        if self.reader.is_partial and silent > limits.head_timeout:
            self.time_out()
        elif silent > limits.client_idle:
            self.transport.close()

    def time_out(self) -> None:
        """Give up a client that does not go on with its request."""
        if self.journey is None and not self._discards:
            self._refuse(RequestError("the request did not come in time", 408))
        elif self.journey is not None and not self.journey.is_read:
            self.journey.fail(RequestError("the request did not come in time", 408))
