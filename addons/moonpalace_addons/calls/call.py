"""The calls under way, as the addons share them."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from mitmproxy.http import HTTPFlow

from moonpalace_addons.calls.failures import Failure
from moonpalace_addons.store.tasks import ResponseStarted
from moonpalace_addons.wire.loops.loop_guard import FoundLoop

if TYPE_CHECKING:
    from moonpalace_addons.caching.api import Account
    from moonpalace_addons.caching.lifecycle import Ready
    from moonpalace_addons.calls.adapter import Adapter
    from moonpalace_addons.calls.opening import Forced, Hold


CHUNK_COST = 16
"""Bytes that the time and the length of a chunk take: an answer of tiny ones must not take many times its size."""
DEFAULT_ROOM = 100_000_000
EACH = 1_000_000
"""Bytes of an answer that may be kept whatever the others take."""


@dataclass(slots=True)
class Together:
    """What the answers under way take together, beyond `EACH` of each."""

    taken: int = 0


@dataclass(slots=True)
class Call:
    """One call under way. `started` and all that is measured are nanoseconds of the monotonic clock.

    `uuid` is its own, not the flow's: mitmweb replays flows, and each time is a call. `body` is what the client sent,
    if that was changed on the way; `coerce` and `hide_usage` say how its answer has to be changed back. `found` is the
    loop that ended its answer after `cut_at` bytes of the stream, `broken` why the answer was broken off, `touched`
    when upstream last sent something, or the client took what waited for it, which is `unsent` bytes; before the
    answer, `active_at` is when the last `activity` on its connections was seen. `given_up` is why it was given up, with
    the message. `cache` is the context cache that its request names, `cache_outcome` what came of that, `unhinted` its
    body before a hint to caches was added; `hold` has its answer held until it is whole. `opening` is what holds its
    answer back until it is known how it passes; `announced` tells whether the writer knows that it has begun, and
    `streaming` whether its client does; `is_tunnel` that another protocol follows. `room` is how many bytes of its
    answer may still be kept, `dropped` how many were not; `kept` is what has been kept with the cost of its chunks,
    `taken` how much of it counts in `together`.
    """

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
    uuid: str = field(default_factory=lambda: str(uuid4()))
    body: bytes | None = field(default=None, repr=False)
    coerce: bool = False
    hide_usage: bool = False
    adapter: "Adapter | None" = field(default=None, repr=False)
    found: FoundLoop | None = None
    cut_at: int | None = None
    broken: str | None = None
    request_read: bool = False
    opening: "Hold | Forced | None" = field(default=None, repr=False)
    announced: bool = False
    streaming: bool = False
    is_tunnel: bool = False
    touched: int | None = None
    unsent: int = 0
    activity: float | None = None
    active_at: int = field(default_factory=time.monotonic_ns)
    given_up: tuple[Failure, str] | None = None
    overhead: int = 0
    cache: "tuple[Account, Ready] | None" = field(default=None, repr=False)
    cache_outcome: str | None = None
    unhinted: bytes | None = field(default=None, repr=False)
    hold: bool = False
    room: int = DEFAULT_ROOM
    dropped: int = 0
    together: Together = field(default_factory=Together)
    taken: int = 0
    kept: int = 0

    @property
    def is_chat(self) -> bool:
        """Tell whether it is a chat completion."""
        return self.path.endswith("/chat/completions")

    def now(self) -> int:
        """Return the nanoseconds since the request began."""
        return time.monotonic_ns() - self.started

    def keep(self, at: int, data: bytes) -> None:
        """Keep what has come of the answer as long as there is room: nothing more once something did not fit."""
        cost = len(data) + CHUNK_COST
        if not self._shares(cost):
            self.room = -cost
        self.room -= cost
        if self.room >= 0:
            self.chunks.append((at, data))
            return
        fits = 0 if self.dropped else max(0, self.room + len(data))
        if fits:
            self.chunks.append((at, data[:fits]))
        self.dropped += len(data) - fits

    def _shares(self, cost: int) -> bool:
        """Tell whether there is room among all answers, which together may take what one may."""
        self.kept += cost
        beyond = min(cost, self.kept - EACH)
        if beyond <= 0 or self.room < 0:
            return True
        if self.together.taken + beyond > self.kept + self.room:
            return False
        self.together.taken += beyond
        self.taken += beyond
        return True


class Calls:
    """The calls under way by their flow's id; flows that are not captured have none."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self.together = Together()

    def begin(self, call: Call) -> None:
        """Add a call."""
        self._calls[call.flow.id] = call

    def get(self, flow: HTTPFlow) -> Call | None:
        """Return the call of a flow, None if it is not captured or is over."""
        return self._calls.get(flow.id)

    def end(self, flow: HTTPFlow) -> Call | None:
        """Take the call of a flow out, the first time that this is asked."""
        call = self._calls.pop(flow.id, None)
        if call is not None:
            self.together.taken -= call.taken
            call.taken = 0
        return call

    def __iter__(self) -> Iterator[Call]:
        """Iterate over a copy: what looks at calls may end them."""
        return iter(list(self._calls.values()))
