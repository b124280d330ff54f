"""A call under way as the addons get hold of it: the engine's `Control`."""

from typing import TYPE_CHECKING

from moonpalace_addons.calls.control import Gate
from moonpalace_addons.calls.failures import Failure
from moonpalace_addons.engine.errors import ClientLeftError, KilledError
from moonpalace_addons.engine.phases import Phase

if TYPE_CHECKING:
    from moonpalace_addons.engine.journey import Journey


class Handle:
    """What addons may ask of a call, and do to it, beyond mitmproxy's own ways; see the functions of `upstream`."""

    def __init__(self, journey: "Journey") -> None:
        self._journey = journey

    @property
    def failure(self) -> Failure | None:
        """Return what the call has failed with."""
        return self._journey.failure

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more can come of the answer."""
        journey = self._journey
        return journey.phase in (Phase.ENDING, Phase.OVER) or journey.client.is_gone or journey.is_failing

    @property
    def unsent(self) -> int:
        """Return how many bytes wait for the client."""
        return self._journey.client.unsent

    @property
    def last_activity(self) -> float:
        """Return what differs when something has happened."""
        return self._journey.active

    @property
    def partial_body(self) -> bytes:
        """Return what has come of an answer that is being collected."""
        return self._journey.partial_body

    def answer_and_close(self, status: int, body: bytes) -> bool:
        """Give the client an answer of our own while it has got nothing."""
        journey = self._journey
        if journey.delivery.begun or journey.phase is Phase.OVER or journey.client.is_gone:
            return False
        journey.is_answered = True
        journey.delivery.own(status, body)
        if not journey.is_failing:
            journey.client.stop_reading()
            journey.fail(KilledError())
        return True

    def finish_answer(self, rest: bytes) -> bool:
        """Give the client the rest of an answer that has failed, and its end."""
        journey = self._journey
        response = journey.flow.response
        if response is None or not (journey.delivery.begun and journey.is_failing) or journey.client.is_gone:
            return False
        journey.delivery.pass_on([rest] if rest else [])
        journey.delivery.end(response)
        journey.is_answered = True
        return True

    def close_client(self, *, flush: bool) -> None:
        """Close the client's connection as it is, or once what waits for it has gone out."""
        journey = self._journey
        if flush and journey.tunnel is not None:
            journey.tunnel.go_away()
        elif flush:
            journey.client.break_off(journey.delivery.ends_connection)
            journey.fail(ClientLeftError())
        else:
            journey.client.abort()

    def close_upstream(self) -> None:
        """Close the connection to the API, unless it has been given back."""
        self._journey.inquiry.close()

    def end_response(self) -> None:
        """End the stream in the place of the API, after what its addon is about to return."""
        journey = self._journey
        if journey.delivery.in_stream:
            journey.ends_early = True
        elif not journey.is_busy:
            journey.guard(journey.end_early)

    def inject_heartbeat(self) -> None:
        """Have the stream's addon return something while the API is silent."""
        journey = self._journey
        if journey.is_busy:
            return
        if journey.gate is not None and journey.phase is Phase.WHOLE:
            journey.guard(journey.ask_gate, journey.gate, "beat")
        elif journey.phase is Phase.STREAM:
            journey.guard(self._beat)

    def _beat(self) -> None:
        self._journey.delivery.beat()
        if self._journey.ends_early:
            self._journey.end_early()

    def hold_answer(self, gate: Gate) -> None:
        """Have a gate hold back the answer, instead of collecting it."""
        self._journey.gate = gate

    def offer_second_try(self) -> None:
        """Have `moonpalace_refused` called once the answer is whole."""
        self._journey.has_second_try = True
