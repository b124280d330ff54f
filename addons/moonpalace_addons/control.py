"""What can be done to a call under way beyond mitmproxy's API for addons, whichever engine runs.

Our own engine gives each flow under way a `Control`; for flows of mitmproxy's server there is none, and `upstream` does
the same with mitmproxy's internals.
"""

from typing import Protocol

from mitmproxy.http import HTTPFlow

from moonpalace_addons.failures import Failure

HEARTBEAT = bytes(bytearray(b"heartbeat"))
"""What a heartbeat gives a response's stream; told from upstream's bytes by its identity."""


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

    def close_client(self, *, flush: bool) -> None: ...  # noqa: D102

    def close_upstream(self) -> None: ...  # noqa: D102

    def end_response(self) -> None: ...  # noqa: D102

    def inject_heartbeat(self) -> None: ...  # noqa: D102

    def offer_second_try(self) -> None: ...  # noqa: D102


CONTROLS: dict[str, Control] = {}
"""By the id of the flow."""


def control_of(flow: HTTPFlow) -> Control | None:
    """Return the control of a flow that is under way in our engine."""
    return CONTROLS.get(flow.id)
