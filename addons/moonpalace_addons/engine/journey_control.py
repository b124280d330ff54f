"""The engine's implementation of `Control`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mitmproxy.websocket import WebSocketMessage

from moonpalace_addons.calls.control import Gate
from moonpalace_addons.calls.failures import Failure
from moonpalace_addons.engine.errors import ClientDisconnectedError, KilledError
from moonpalace_addons.engine.phases import Phase

if TYPE_CHECKING:
    from moonpalace_addons.engine.journey import Journey


class JourneyControl:
    """Control of a call in progress, for the functions of `mitm/flow_control.py`."""

    def __init__(self, journey: "Journey") -> None:
        self._journey = journey

    @property
    def failure(self) -> Failure | None:
        """Return the failure of the call, or None."""
        return self._journey.failure

    @property
    def is_over(self) -> bool:
        """Tell whether the answer has ended or failed, or the client is gone."""
        journey = self._journey
        return journey.phase in (Phase.ENDING, Phase.OVER) or journey.client.is_gone or journey.is_failing

    @property
    def unsent(self) -> int:
        """Return the number of bytes not yet sent to the client."""
        return self._journey.client.get_write_buffer_size()

    @property
    def last_activity(self) -> float:
        """Return the time of the last event, in seconds since the epoch."""
        return self._journey.active

    @property
    def partial_body(self) -> bytes:
        """Return the received part of an answer that is being collected."""
        return self._journey.partial_body

    @property
    def has_come_whole(self) -> bool:
        """Tell whether the end of the answer has been read, too."""
        api = self._journey.upstream.api
        return api is not None and api.reader.is_over

    def after_sending(self, act: Callable[[], None]) -> None:
        """Call `act` once the current hook's outcome is sent, or at once if the hook is awaited."""
        if self._journey.is_busy:
            act()
        else:
            self._journey.left.append(act)

    def answer_and_close(self, status: int, body: bytes) -> bool:
        """Send an answer of our own, unless part of an answer has been sent."""
        journey = self._journey
        if journey.delivery.begun or journey.phase is Phase.OVER or journey.client.is_gone:
            return False
        journey.is_answered = True
        journey.delivery.write_error(status, body)
        if not journey.is_failing:
            journey.client.discard_request()
            journey.fail(KilledError())
        return True

    def finish_answer(self, rest: bytes) -> bool:
        """Send the rest and the end of an answer that has failed."""
        journey = self._journey
        response = journey.flow.response
        if response is None or not (journey.delivery.begun and journey.is_failing) or journey.client.is_gone:
            return False
        journey.delivery.pass_on([rest] if rest else [])
        journey.delivery.end(response)
        journey.is_answered = True
        return True

    def close_client(self, *, flush: bool) -> None:
        """Abort the client's connection, or close it once pending data is sent."""
        journey = self._journey
        if flush and journey.tunnel is not None:
            journey.tunnel.go_away()
        elif flush:
            journey.client.abort_response(journey.delivery.ends_connection)
            journey.fail(ClientDisconnectedError())
        else:
            journey.client.abort()

    def close_upstream(self) -> None:
        """Close the connection to the API, unless it was released."""
        self._journey.upstream.close()

    def end_response(self) -> None:
        """End the stream before the API does, after the data that its addon is about to return."""
        journey = self._journey
        if journey.delivery.in_stream:
            journey.ends_early = True
        elif not journey.is_busy:
            journey.guard(journey.end_early)

    def inject_heartbeat(self) -> None:
        """Call the answer's stream or gate with a heartbeat."""
        journey = self._journey
        if journey.is_busy:
            return
        if journey.gate is not None and journey.phase is Phase.BUFFERED:
            journey.guard(journey.pass_to_gate, journey.gate, "beat")
        elif journey.phase is Phase.STREAM:
            journey.guard(self._beat)

    def _beat(self) -> None:
        self._journey.delivery.heartbeat()
        if self._journey.ends_early:
            self._journey.end_early()

    def hold_answer(self, gate: Gate) -> None:
        """Have a gate hold the answer back instead of collecting it."""
        self._journey.gate = gate

    def allow_retry(self) -> None:
        """Call `moonpalace_refused` once the answer is complete."""
        self._journey.may_retry = True

    def inject_message(self, message: WebSocketMessage) -> bool:
        """Send a message of the user into a WebSocket; return whether the call is one."""
        tunnel = self._journey.tunnel
        return tunnel is not None and tunnel.inject(message)
