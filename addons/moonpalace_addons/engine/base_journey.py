"""State, hooks and failure handling shared by all stages of a call.

Everything runs synchronously in the callbacks of the sockets, unless a hook must be awaited: events that arrive in the
meantime are queued, and reading from their source is paused.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.control import CONTROLS, Gate
from moonpalace_addons.calls.failures import Failure
from moonpalace_addons.engine.delivery import Delivery
from moonpalace_addons.engine.errors import (
    CallError,
    ClientDisconnectedError,
    InternalError,
    KilledError,
    RequestError,
)
from moonpalace_addons.engine.events import Event, RequestHead
from moonpalace_addons.engine.messages import make_flow, make_request
from moonpalace_addons.engine.phases import Phase
from moonpalace_addons.engine.targets import path_of
from moonpalace_addons.engine.upstream import UpstreamRequest
from moonpalace_addons.wire.faces.table import error_body

if TYPE_CHECKING:
    from moonpalace_addons.engine.client import ClientConnection
    from moonpalace_addons.engine.service import Service
    from moonpalace_addons.engine.tunnel import Tunnel

logger = logging.getLogger(__name__)


class BaseJourney:
    """The state of a call in progress, at whatever stage."""

    phase = Phase.REQUEST
    failure: Failure | None = None
    gate: Gate | None = None
    tunnel: "Tunnel | None" = None
    is_request_complete = ends_early = may_retry = is_failing = is_answered = _busy = False
    _size = 0

    def __init__(self, client: "ClientConnection", head: RequestHead, started: float) -> None:
        self.client = client
        self.service: Service = client.service
        service = self.service
        self.head = head
        self.active = self.active_since = started
        self._waiting: deque[Event | CallError] = deque()
        self._body: list[bytes] = []
        self.left: list[Callable[[], None]] = []
        self.delivery = Delivery(
            client, head.method, head.version, closes=not head.keep_alive, keeps=service.options.store_streamed
        )
        _, host, port = service.endpoint
        request = make_request(head, path_of(head), service.scheme, host, port, started)
        self.flow: HTTPFlow = make_flow(client.connection, client.next_server(), request)
        self.upstream = UpstreamRequest(service)

    # ---- hooks ----------------------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Tell whether a hook is being awaited, so that events of the client must wait."""
        return self._busy

    @property
    def wants_request(self) -> bool:
        """Tell whether more of the request is expected now."""
        return self.phase is Phase.REQUEST and not self.is_request_complete and not self._busy

    def _hook(self, name: str, then: Callable[[], None]) -> None:
        """Call a hook, then `then`, synchronously if nothing must be awaited, and last what was deferred."""
        waiting = self.service.hooks.call(name, self.flow)
        if waiting is None:
            try:
                then()
            finally:
                if self.left:
                    self._do_left()
        else:
            self._do_left()
            self._await(waiting, then)

    def _do_left(self) -> None:
        """Do what was deferred until after sending."""
        while self.left:
            try:
                self.left.pop(0)()
            except Exception:
                logger.exception("a call is not recorded completely because of a fault in MoonPalace")

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
            if not self.client.is_full:
                self.upstream.resume()
            self.client.advance()

    def guard(self, step: Callable[..., None], *arguments: object) -> None:
        """Run a step; an exception ends this call only."""
        try:
            step(*arguments)
        except CallError as error:
            self.fail(error)
        except Exception:
            logger.exception("ended a call because of a fault in MoonPalace")
            self.fail(InternalError("internal error in MoonPalace, see its log"))

    def receive(self, event: Event | CallError) -> None:
        """Handle an event or an error from the API."""
        raise NotImplementedError

    # ---- the end --------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        self.flow.live = False
        self._over()
        self.client.finished(closes=self.delivery.closes)

    def _over(self) -> None:
        self.phase = Phase.OVER
        CONTROLS.pop(self.flow.id, None)
        self._body = []
        response = self.flow.response
        if response is not None and callable(response.stream):
            response.stream = True  # addons keep their flow in it

    def _is_dead(self, *, quietly: bool = False) -> bool:
        """Tell whether the call is over, and end it if its flow was killed or its client disconnected during a hook."""
        if self.phase is Phase.OVER:
            return True
        error = self.flow.error
        if error is not None and error.msg == Error.KILLED_MESSAGE:
            self.fail(KilledError(), quietly=quietly)
            return True
        if self.client.is_gone:
            self.fail(ClientDisconnectedError(), quietly=quietly)
            return True
        return False

    def client_lost(self) -> None:
        """Handle the loss of the client's connection."""
        if self.phase is Phase.OVER or self._busy or self.is_failing:
            return  # checked after the hook
        self.fail(ClientDisconnectedError())

    def fail(self, error: CallError, *, quietly: bool = False) -> None:
        """End the call with an error; call the hook `error` unless `response` was called."""
        if self.phase is Phase.OVER or self.is_failing:
            return
        self.is_failing = True
        self._do_left()
        error.with_traceback(None)  # whose frames refer to the error
        quietly = quietly or self.phase is Phase.ENDING
        self.failure = error.failure
        if self.flow.error is None or self.flow.error.msg != Error.KILLED_MESSAGE:
            self.flow.error = Error(str(error))
        self.upstream.close()
        if quietly:
            self._failed(error)
        else:
            self._hook("error", lambda: self._failed(error))

    def _failed(self, error: CallError) -> None:
        """Send the error to the client, unless an addon has, or part of the answer was sent."""
        if self.phase is Phase.OVER:
            return
        self.flow.live = False
        if self.is_answered:
            self._finish()
            return
        if self.delivery.begun or error.failure.status is None or self.client.is_gone:
            self._over()
            self.client.abort_response(self.delivery.ends_connection)
            return
        kind, status = error.failure.kind, error.failure.status
        what = "did not send this request" if isinstance(error, RequestError) else "got no answer from the API"
        self.delivery.write_error(status, error_body(f"MoonPalace {what}: {error}", kind, self.flow.request.path))
        self._finish()

    @property
    def partial_body(self) -> bytes:
        """Return the received part of an answer that is being collected."""
        return b"".join(self._body) if self.phase in (Phase.BUFFERED, Phase.ENDING) else b""
