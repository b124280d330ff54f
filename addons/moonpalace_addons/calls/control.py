"""What can be done to a call under way beyond mitmproxy's API for addons, whichever engine runs.

Our own engine gives each flow under way a `Control`; for flows of mitmproxy's server there is none, and `upstream` does
the same with mitmproxy's internals.
"""

from collections.abc import Sequence
from typing import Protocol

from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.failures import Failure

HEARTBEAT = bytes(bytearray(b"heartbeat"))
"""What a heartbeat gives a response's stream; told from upstream's bytes by its identity."""


class Gate(Protocol):
    """Holds an answer back. What a method returns is what the client gets at once, with the head, and all that follows.

    It has set `flow.response.stream` and the headers then, and is asked no more; if it `breaks`, the connection of the
    client is closed at once behind that. None is returned as long as the answer waits; after None at its end, its
    client gets `whole` as its body.
    """

    @property
    def breaks(self) -> bool: ...  # noqa: D102

    @property
    def whole(self) -> bytes: ...  # noqa: D102

    def take(self, pieces: Sequence[bytes]) -> Sequence[bytes] | None: ...  # noqa: D102

    def beat(self) -> Sequence[bytes] | None: ...  # noqa: D102

    def end(self) -> Sequence[bytes] | None: ...  # noqa: D102


class Control(Protocol):
    """One call under way. What each method does is said by the function of its name in `upstream`."""

    @property
    def failure(self) -> Failure | None: ...  # noqa: D102

    @property
    def is_over(self) -> bool: ...  # noqa: D102

    @property
    def unsent(self) -> int: ...  # noqa: D102

    @property
    def last_activity(self) -> float: ...  # noqa: D102

    @property
    def partial_body(self) -> bytes: ...  # noqa: D102

    def answer_and_close(self, status: int, body: bytes) -> bool: ...  # noqa: D102

    def finish_answer(self, rest: bytes) -> bool: ...  # noqa: D102

    def close_client(self, *, flush: bool) -> None: ...  # noqa: D102

    def close_upstream(self) -> None: ...  # noqa: D102

    def end_response(self) -> None: ...  # noqa: D102

    def inject_heartbeat(self) -> None: ...  # noqa: D102

    def hold_answer(self, gate: Gate) -> None: ...  # noqa: D102

    def offer_second_try(self) -> None: ...  # noqa: D102


CONTROLS: dict[str, Control] = {}
"""By the id of the flow."""


def control_of(flow: HTTPFlow) -> Control | None:
    """Return the control of a flow that is under way in our engine."""
    return CONTROLS.get(flow.id)
