"""Keep the bytes of answers within a bound: one for each answer, and one for all that are under way."""

from collections import deque
from dataclasses import dataclass, field

CHUNK_COST = 16
"""Bytes that the time and the length of a chunk take: an answer of tiny ones must not take many times its size."""
DEFAULT_ROOM = 100_000_000
OWN_ROOM = 1_000_000
"""Bytes of an answer that are kept whatever the others take."""


@dataclass(slots=True)
class SharedRoom:
    """What the answers under way take together, beyond `OWN_ROOM` of each."""

    taken: int = 0


@dataclass(slots=True)
class KeptAnswer:
    """What has come of an answer, as chunks with the nanoseconds since the request began.

    `room` is how many bytes more may be kept, `dropped` how many were not. `kept` is what has been kept with the cost
    of its chunks, `taken` how much of that counts in `shared`.
    """

    room: int = DEFAULT_ROOM
    shared: SharedRoom = field(default_factory=SharedRoom)
    chunks: deque[tuple[int, bytes]] = field(default_factory=deque, repr=False)
    dropped: int = 0
    kept: int = 0
    taken: int = 0

    def keep(self, at: int, data: bytes) -> None:
        """Keep a chunk as long as there is room: nothing more once something did not fit."""
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
        beyond = min(cost, self.kept - OWN_ROOM)
        if beyond <= 0 or self.room < 0:
            return True
        if self.shared.taken + beyond > self.kept + self.room:
            return False
        self.shared.taken += beyond
        self.taken += beyond
        return True

    def give_back(self) -> None:
        """Leave the shared room to others, once the call is over."""
        self.shared.taken -= self.taken
        self.taken = 0
