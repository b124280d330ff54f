"""The calls under way, as the addons share them."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from mitmproxy.http import HTTPFlow

from moonpalace_addons.store.tasks import ResponseStarted


@dataclass(slots=True)
class Call:
    """One call under way. `started` and all that is measured are nanoseconds of the monotonic clock."""

    flow: HTTPFlow
    started: int
    headers: list[tuple[str, str]] = field(repr=False)
    query: str
    path: str
    chunks: deque[tuple[int, bytes]] = field(default_factory=deque, repr=False)
    response: ResponseStarted | None = None
    changes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    upstream_key: str | None = field(default=None, repr=False)
    request_read: bool = False
    streaming: bool = False
    timed_out: bool = False
    overhead: int = 0

    def now(self) -> int:
        """Return the nanoseconds since the request began."""
        return time.monotonic_ns() - self.started


class Calls:
    """The calls under way by their flow's id; flows that are not captured have none."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}

    def begin(self, call: Call) -> None:
        """Add a call."""
        self._calls[call.flow.id] = call

    def get(self, flow: HTTPFlow) -> Call | None:
        """Return the call of a flow, None if it is not captured or is over."""
        return self._calls.get(flow.id)

    def end(self, flow: HTTPFlow) -> Call | None:
        """Take the call of a flow out, the first time that this is asked."""
        return self._calls.pop(flow.id, None)

    def __iter__(self) -> Iterator[Call]:
        """Iterate over a copy: what looks at calls may end them."""
        return iter(list(self._calls.values()))
