"""The journey of one call: from the head of its request through mitmproxy's hooks to the end of its answer.

All of it runs at once, in the callbacks of the sockets, unless a hook wants to be awaited: then what comes meanwhile is
kept, and its source is read no further.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow

from moonpalace_addons.control import CONTROLS, HEARTBEAT
from moonpalace_addons.engine import framing
from moonpalace_addons.engine.errors import (
    AnswerError,
    CallError,
    ClientLeftError,
    FaultError,
    KilledError,
    RequestError,
)
from moonpalace_addons.engine.messages import make_headers, make_request, make_response
from moonpalace_addons.engine.parsing import Broken, End, Event, Pieces, RequestHead, ResponseHead, Switch
from moonpalace_addons.engine.targets import Target, path_of
from moonpalace_addons.engine.tunnel import Tunnel, make_tunnel
from moonpalace_addons.failures import Failure
from moonpalace_addons.wire import api_error

if TYPE_CHECKING:
    from moonpalace_addons.engine.api import ApiConnection
    from moonpalace_addons.engine.client import ClientConnection

logger = logging.getLogger(__name__)


class Phase(Enum):
    """What a call is waiting for."""

    REQUEST = auto()
    ANSWER = auto()
    STREAM = auto()
    WHOLE = auto()
    ENDING = auto()
    OVER = auto()


class Journey:
    """One call under way; a `Control` for the addons."""

    def __init__(self, client: "ClientConnection", head: RequestHead, started: float) -> None:
        self.client = client
        self.service = service = client.service
        self.head = head
        self.phase = Phase.REQUEST
        self.failure: Failure | None = None
        self.api: ApiConnection | None = None
        self.is_read = False  # all of the request has come
        self.begun = False  # the client has got something of the answer
        self.active = self.active_since = started
        self._busy = False
        self._waiting: deque[Event | CallError] = deque()
        self._body: list[bytes] = []
        self._size = 0
        self._kept: list[bytes] = []
        self._framing: framing.Body | None = None
        self._stream: Callable[[bytes], object] | None = None
        self._together: Callable[[Sequence[bytes]], Sequence[bytes]] | None = None
        self._in_stream = self._ends_early = self._second_try = self._retried = False
        self._failing = self._answered = self._is_own = False
        self._connecting: asyncio.Task[None] | None = None
        self._closes = not head.keep_alive
        _, host, port = service.endpoint
        request = make_request(head, path_of(head), service.scheme, host, port, started)
        self.flow = flow = HTTPFlow(client.connection, client.next_server(), True)
        flow.request = request
        CONTROLS[flow.id] = self

    # ---- hooks ----------------------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Tell whether a hook is being awaited: what comes from the client has to wait."""
        return self._busy

    @property
    def wants_request(self) -> bool:
        """Tell whether the rest of the request is wanted."""
        return self.phase is Phase.REQUEST and not self.is_read

    def _hook(self, name: str, then: Callable[[], None]) -> None:
        """Call a hook, and then go on, at once if nothing has to be awaited."""
        waiting = self.service.hooks.call(name, self.flow)
        if waiting is None:
            then()
        else:
            self._await(waiting, then)

    def _await(self, waiting: Coroutine[Any, Any, None], then: Callable[[], None]) -> None:
        self._busy = True
        self.service.spawn(self._go_on(waiting, then))

    async def _go_on(self, waiting: Awaitable[None], then: Callable[[], None]) -> None:
        await waiting
        self._busy = False
        self.guard(then)
        while self._waiting and not self._busy:
            self.receive(self._waiting.popleft())
        if not self._busy:
            if self.api is not None and not self.client.is_full:
                self.api.resume()
            self.client.advance()

    def guard(self, step: Callable[..., None], *arguments: object) -> None:
        """Do a step; what goes wrong ends this call and no other."""
        try:
            step(*arguments)
        except CallError as error:
            self.fail(error)
        except Exception:
            logger.exception("a call is ended because of a fault in MoonPalace")
            self.fail(FaultError("there is a fault in MoonPalace, see its log"))

    # ---- the request ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Show the head of the request to the addons, which may refuse it before its body is read."""
        self._hook("requestheaders", self._head_seen)

    def _head_seen(self) -> None:
        if self._is_dead():
            return
        head = self.head
        if self.flow.response is not None and head.has_body:
            self._closes = True
            self.client.stop_reading()
            self.flow.request.data.timestamp_end = time.time()
            self._hook("request", self._request_seen)
            return
        limit = self.service.limits.body_size
        if limit is not None and head.length is not None and head.length > limit:
            raise RequestError(f"the request's body is larger than {limit} bytes", 413)
        self._expect(head)

    def _expect(self, head: RequestHead) -> None:
        expected = self.flow.request.headers.pop("expect", None)
        if expected is None or head.version == b"HTTP/1.0":
            return
        if expected.lower() != "100-continue":
            raise RequestError("the request's Expect is not known", 417)
        if head.has_body and not self.client.has_more:
            self.client.write(framing.CONTINUE)

    def request_pieces(self, pieces: list[bytes]) -> None:
        """Take bytes of the request's body."""
        self.active = time.time()
        self._body += pieces
        self._size += sum(map(len, pieces))
        limit = self.service.limits.body_size
        if limit is not None and self._size > limit:
            raise RequestError(f"the request's body is larger than {limit} bytes", 413)

    def request_end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """Take the end of the request."""
        data = self.flow.request.data
        self.is_read = True
        data.content = b"".join(self._body)
        self._body = []
        if trailers:
            data.trailers = make_headers(trailers)
        self.active = self.active_since = data.timestamp_end = time.time()
        if self.head.upgrade and not self._may_upgrade():
            self.head.upgrade = False
        self._hook("request", self._request_seen)

    def _may_upgrade(self) -> bool:
        """Tell whether the API is offered the other protocol: not HTTP/2, which is not spoken here."""
        offered = self.flow.request.headers.get("upgrade", "").lower()
        return bool(offered) and not offered.startswith(("h2c", "h2", "http/"))

    def _request_seen(self) -> None:
        if self._is_dead():
            return
        if self.flow.response is not None:
            self._is_own = True
            self.phase = Phase.ENDING
            self.flow.response.timestamp_start = time.time()
            self._hook("responseheaders", self._own_head_seen)
        else:
            self._ask()

    def _own_head_seen(self) -> None:
        if not self._is_dead():
            self._end_whole()

    # ---- asking the API -------------------------------------------------------------------------------------------

    def _target(self) -> Target:
        request = self.flow.request
        return Target(request.scheme, request.host, request.port, self.flow.server_conn.via)

    def _ask(self) -> None:
        """Send the request, on a connection that is open if there is one."""
        self.phase = Phase.ANSWER
        target = self._target()
        api = None if self._retried else self.service.pool.take(target)
        if api is not None:
            self._send(api)
        else:
            self._connecting = self.service.spawn(self._connect(target))

    async def _connect(self, target: Target) -> None:
        try:
            server = self.client.server_for(self.flow, target)
            api = await self.service.connector.connect(target, server, self.client.connection)
        except CallError as error:
            if self.phase is not Phase.OVER:
                self.fail(error)
            return
        except Exception:
            logger.exception("a call is ended because of a fault in MoonPalace")
            self.fail(FaultError("there is a fault in MoonPalace, see its log"))
            return
        if self.phase is Phase.OVER:
            self.service.pool.put(api)
        else:
            self.guard(self._send, api)

    def _send(self, api: "ApiConnection") -> None:
        request = self.flow.request
        data = framing.request_bytes(request, upgrade=self.head.upgrade)
        self.api = api
        self.flow.server_conn = api.server
        self.active = time.time()
        api.send(self, data, bodyless=request.data.method == b"HEAD")

    # ---- the answer -----------------------------------------------------------------------------------------------

    def receive(self, event: Event | CallError) -> None:
        """Take what has come from the API."""
        if self._busy:
            self._waiting.append(event)
            if self.api is not None:
                self.api.pause()
        elif self.phase is not Phase.OVER:
            self.guard(self._received, event)

    def _received(self, event: Event | CallError) -> None:
        kind = type(event)
        if isinstance(event, Pieces):
            self._pieces(event.pieces)
        elif isinstance(event, End):
            self._end(event)
        elif isinstance(event, ResponseHead):
            self._head(event)
        elif isinstance(event, Switch):
            self._switch(event)
        elif isinstance(event, Broken):
            raise event.error
        elif isinstance(event, CallError):
            self._lost(event)
        else:
            raise FaultError(f"the API has sent a {kind.__name__}")

    def _lost(self, error: CallError) -> None:
        """Send the request again if nothing has come on a connection that had been kept open: once."""
        api = self.api
        if api is not None and api.is_reused and not api.has_answered and self.phase is Phase.ANSWER:
            self.api = None
            self._retried = True
            self._ask()
            return
        raise error

    def _head(self, head: ResponseHead) -> None:
        self.active = now = time.time()
        if head.status < 200 and head.status != 101:
            if self.head.version != b"HTTP/1.0" and head.status != 100:
                self.client.write(framing.interim_head(head.status, head.reason, head.fields))
            return
        if head.status == 101 and not self.head.upgrade:
            raise AnswerError("the API changes to another protocol, which nobody has asked for")
        self.flow.response = make_response(head, now)
        self.phase = Phase.WHOLE
        limit = self.service.options.stream_above
        if limit is not None and (head.length is None or head.length > limit) and head.status != 101:
            self.flow.response.stream = True
        self._hook("responseheaders", self._answer_head_seen)

    def _answer_head_seen(self) -> None:
        if self._is_dead():
            return
        response = self.flow.response
        if response is None:
            raise FaultError("an addon has taken the answer away")
        if response.stream and not self._second_try and response.data.status_code != 101:
            self._begin_stream()

    def _begin_stream(self) -> None:
        response = self.flow.response
        assert response is not None  # noqa: S101 - checked by the caller
        self.phase = Phase.STREAM
        self._stream = response.stream if callable(response.stream) else None
        self._together = getattr(response.stream, "together", None)
        body = framing.no_body(response, self.head.method) or framing.streamed_body(response, self.head.version)
        self._write_head(body)

    def _write_head(self, body: framing.Body, rest: bytes = b"") -> None:
        response = self.flow.response
        assert response is not None  # noqa: S101 - checked by the caller
        self._framing = body
        if self._is_own and "close" in response.headers.get("connection", "").lower():
            self._closes = True
        self._closes = self._closes or body.ends_connection or self.client.is_half_closed
        connection = b"close" if self._closes else b"keep-alive" if self.head.version == b"HTTP/1.0" else None
        data = framing.response_head(response, body.line, connection)
        self.begun = True
        self.client.write(data + rest)

    def _pieces(self, pieces: list[bytes]) -> None:
        if self.phase is Phase.STREAM:
            if self.flow.error is not None and self._is_dead():
                return
            self._pass_on(self._changed(pieces))
            if self._ends_early:
                self._end_early()
        elif self.phase is Phase.WHOLE:
            self._body += pieces

    def _changed(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Return what an addon makes of pieces."""
        if self._stream is None:
            return pieces
        self._in_stream = True
        try:
            if self._together is not None:
                return self._together(pieces)
            return [out for piece in pieces for out in as_pieces(self._stream(piece))]
        finally:
            self._in_stream = False

    def _pass_on(self, pieces: Sequence[bytes]) -> None:
        if pieces and self._framing is not None:
            if self.service.options.store_streamed:
                self._kept += pieces
            if data := self._framing.encode(pieces):
                self.client.write(data)

    def _end(self, event: End) -> None:
        api, self.api = self.api, None
        if api is not None:
            api.release()
        response = self.flow.response
        if response is None:
            raise AnswerError("the API's answer has no head")
        if event.trailers:
            response.data.trailers = make_headers(event.trailers)
        if self.phase is Phase.STREAM:
            self._end_stream()
            return
        response.data.content = b"".join(self._body)
        self._body = []
        if self._second_try:
            self._second_try = False
            self._hook("moonpalace_refused", self._refusal_seen)
        else:
            self._end_whole()

    def _refusal_seen(self) -> None:
        if self._is_dead():
            return
        if self.flow.response is None:
            self._ask()
        else:
            self._end_whole()

    def _end_whole(self) -> None:
        self.phase = Phase.ENDING
        response = self.flow.response
        assert response is not None  # noqa: S101 - checked by all callers
        response.timestamp_end = time.time()
        self._hook("response", self._whole_seen)

    def _whole_seen(self) -> None:
        response = self.flow.response
        if self._is_dead(quietly=True) or response is None:
            return
        body = framing.no_body(response, self.head.method)
        rest = b""
        if body is None:
            body = framing.whole_body(response, self.head.version)
            rest = body.encode([response.data.content or b""]) + body.end(response.data.trailers)
        self._write_head(body, rest)
        self._finish()

    def _end_stream(self) -> None:
        if self._stream is not None and self.phase is Phase.STREAM:
            self._in_stream = True
            try:
                last = as_pieces(self._stream(b""))
            finally:
                self._in_stream = False
            self._pass_on([piece for piece in last if piece])
        self.phase = Phase.ENDING
        response = self.flow.response
        assert response is not None  # noqa: S101 - there is a stream
        if self.service.options.store_streamed:
            response.data.content = b"".join(self._kept)
        response.timestamp_end = time.time()
        self._hook("response", self._stream_seen)

    def _stream_seen(self) -> None:
        response = self.flow.response
        if self._is_dead(quietly=True) or response is None or self._framing is None:
            return
        if end := self._framing.end(response.data.trailers):
            self.client.write(end)
        self._finish()

    def _end_early(self) -> None:
        """End a stream in the place of the API, whose connection is of no use any more."""
        self._ends_early = False
        if self.phase is not Phase.STREAM:
            return
        self.close_upstream()
        if self._framing is not None and self._framing.left:
            self._closes = True
            self._framing.left = None  # what was promised does not come: the end of the connection says so
        self._end_stream()

    def _switch(self, event: Switch) -> None:
        api, response = self.api, self.flow.response
        if api is None or response is None or response.data.status_code != 101:
            raise AnswerError("the API changes to another protocol, which nobody has asked for")
        self.phase = Phase.ENDING
        response.data.content = b""
        response.timestamp_end = time.time()
        tunnel = make_tunnel(self, api, event.rest)
        self._hook("response", lambda: self._switched(tunnel))

    def _switched(self, tunnel: Tunnel) -> None:
        response = self.flow.response
        if self._is_dead(quietly=True) or response is None:
            return
        self.api = None
        self.begun = True
        self.client.write(framing.switch_head(response))
        self._over()
        self.client.begin_tunnel(tunnel)

    # ---- the end --------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        self.flow.live = False
        self._over()
        self.client.finished(closes=self._closes)

    def _over(self) -> None:
        self.phase = Phase.OVER
        CONTROLS.pop(self.flow.id, None)
        self._body, self._kept = [], []

    def _is_dead(self, *, quietly: bool = False) -> bool:
        """Tell whether the call is over because its flow was killed or its client left while a hook was called."""
        if self.phase is Phase.OVER:
            return True
        error = self.flow.error
        if error is not None and error.msg == Error.KILLED_MESSAGE:
            self.fail(KilledError(), quietly=quietly)
            return True
        if self.client.is_gone:
            self.fail(ClientLeftError(), quietly=quietly)
            return True
        return False

    def client_lost(self) -> None:
        """Take the end of the client's connection."""
        if self.phase is Phase.OVER or self._busy or self._failing:
            return  # it is noticed after the hook
        self.fail(ClientLeftError())

    def fail(self, error: CallError, *, quietly: bool = False) -> None:
        """End the call with an error, which addons hear of unless they have heard of its answer."""
        if self.phase is Phase.OVER or self._failing:
            return
        self._failing = True
        quietly = quietly or self.phase is Phase.ENDING
        self.failure = error.failure
        if self.flow.error is None or self.flow.error.msg != Error.KILLED_MESSAGE:
            self.flow.error = Error(str(error))
        self.close_upstream()
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        if quietly:
            self._failed(error)
        else:
            self._hook("error", lambda: self._failed(error))

    def _failed(self, error: CallError) -> None:
        """Give the client the error, if no addon has and nothing has come of the answer."""
        if self.phase is Phase.OVER:
            return
        self.flow.live = False
        if self._answered:
            self._over()
            self.client.finished(closes=True)
            return
        if self.begun or error.failure.status is None or self.client.is_gone:
            self._over()
            self.client.break_off(self.ends_connection)
            return
        kind, status = error.failure.kind, error.failure.status
        what = "did not send this request" if isinstance(error, RequestError) else "got no answer from the API"
        self.begun = True
        body = api_error.body(f"MoonPalace {what}: {error}", kind, self.flow.request.path)
        self.client.write(framing.plain_answer(status, body, with_body=self.head.method != b"HEAD"))
        self._over()
        self.client.finished(closes=True)

    # ---- for addons: see `Control` ----------------------------------------------------------------------------------

    @property
    def ends_connection(self) -> bool:
        """Tell whether the end of the answer is that of the connection."""
        return self._framing is not None and self._framing.ends_connection

    def end_connection(self) -> None:
        """Have the connection closed behind this call."""
        self._closes = True

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more can come of the answer."""
        return self.phase in (Phase.ENDING, Phase.OVER) or self.client.is_gone or self._failing

    @property
    def unsent(self) -> int:
        """Return how many bytes wait for the client."""
        return self.client.unsent

    @property
    def last_activity(self) -> float:
        """Return when something last happened, in seconds of the epoch."""
        return self.active

    @property
    def partial_body(self) -> bytes:
        """Return what has come of an answer that is being collected."""
        return b"".join(self._body) if self.phase is Phase.WHOLE else b""

    def answer_and_close(self, status: int, body: bytes) -> bool:
        """Give the client an answer of our own while it has got nothing."""
        if self.begun or self.phase is Phase.OVER or self.client.is_gone:
            return False
        self.begun = self._answered = True
        self.client.write(framing.plain_answer(status, body, with_body=self.head.method != b"HEAD"))
        if not self._failing:
            self.client.stop_reading()
            self.fail(KilledError())
        return True

    def close_client(self, *, flush: bool) -> None:
        """Close the client's connection as it is, or once what waits for it has gone out."""
        if flush:
            self.client.break_off(self.ends_connection)
            self.fail(ClientLeftError())
        else:
            self.client.abort()

    def close_upstream(self) -> None:
        """Close the connection to the API, unless it has been given back."""
        api, self.api = self.api, None
        if api is not None:
            api.abort()

    def end_response(self) -> None:
        """End the stream in the place of the API, after what its addon is about to return."""
        if self._in_stream:
            self._ends_early = True
        elif not self._busy:
            self.guard(self._end_early)

    def inject_heartbeat(self) -> None:
        """Have the stream's addon return something while the API is silent."""
        if self.phase is Phase.STREAM and not self._busy and self._stream is not None:
            self.guard(self._beat)

    def _beat(self) -> None:
        if self._stream is not None:
            self._pass_on(as_pieces(self._stream(HEARTBEAT)))
            if self._ends_early:
                self._end_early()

    def offer_second_try(self) -> None:
        """Have `moonpalace_refused` called once the answer is whole."""
        self._second_try = True


def as_pieces(result: object) -> Sequence[bytes]:
    """Return what a stream's callable has returned as pieces."""
    if isinstance(result, bytes):
        return [result] if result else []
    return [bytes(piece) for piece in result] if result else []  # type: ignore[attr-defined]
