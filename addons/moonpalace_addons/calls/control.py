"""The interface between addons and the engine to control a call in progress, beyond mitmproxy's API for addons.

Our engine gives each flow in progress a `Control`. Flows of mitmproxy's server have none; `mitm/flow_control.py` does
the same with mitmproxy's internals.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from mitmproxy.http import HTTPFlow
from mitmproxy.websocket import WebSocketMessage

from moonpalace_addons.calls.failures import Failure

HEARTBEAT = bytes(bytearray(b"heartbeat"))
"""Passed to a response's stream as a heartbeat; distinguished from upstream's data by identity."""


class Gate(Protocol):
    """Holds an answer back. A method opens the gate by returning the first pieces of the body, sent with the head.

    By then it has set `flow.response.stream` and the headers, and it is not called again; if it `breaks`, the client's
    connection is closed after these pieces. While the answer is held, methods return None; after None from `end`, the
    client gets `whole` as the body.
    """

    @property
    def breaks(self) -> bool: ...  # noqa: D102

    @property
    def whole(self) -> bytes: ...  # noqa: D102

    def take(self, pieces: Sequence[bytes]) -> Sequence[bytes] | None: ...  # noqa: D102

    def beat(self) -> Sequence[bytes] | None: ...  # noqa: D102

    def end(self) -> Sequence[bytes] | None: ...  # noqa: D102


class Control(Protocol):
    """Control of one call in progress; see the functions of the same names in `mitm/flow_control.py`."""

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

    @property
    def has_come_whole(self) -> bool: ...  # noqa: D102

    def after_sending(self, act: Callable[[], None]) -> None: ...  # noqa: D102

    def answer_and_close(self, status: int, body: bytes) -> bool: ...  # noqa: D102

    def finish_answer(self, rest: bytes) -> bool: ...  # noqa: D102

    def close_client(self, *, flush: bool) -> None: ...  # noqa: D102

    def close_upstream(self) -> None: ...  # noqa: D102

    def end_response(self) -> None: ...  # noqa: D102

    def inject_heartbeat(self) -> None: ...  # noqa: D102

    def hold_answer(self, gate: Gate) -> None: ...  # noqa: D102

    def allow_retry(self) -> None: ...  # noqa: D102

    def inject_message(self, message: WebSocketMessage) -> bool: ...  # noqa: D102


CONTROLS: dict[str, Control] = {}
"""Controls by flow ID."""


def control_of(flow: HTTPFlow) -> Control | None:
    """Return the control of a flow in progress on our engine, or None."""
    return CONTROLS.get(flow.id)
