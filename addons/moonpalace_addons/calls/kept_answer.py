"""Captured bytes of answers, limited for each answer and for all answers in progress."""

from collections import deque
from dataclasses import dataclass, field

CHUNK_COST = 16
"""Overhead of a chunk in bytes: an answer of tiny chunks must not take many times its size."""
DEFAULT_ROOM = 100_000_000
OWN_ROOM = 1_000_000
"""Bytes of an answer that are kept whatever the other answers take."""


@dataclass(slots=True)
class SharedRoom:
    """Memory that the answers in progress share: bytes beyond `OWN_ROOM` of each."""

    taken: int = 0


@dataclass(slots=True)
class KeptAnswer:
    """The received part of an answer, as chunks with their time in nanoseconds since the start of the request.

    `room` is the number of bytes that may still be kept, `dropped` of those that were not. `kept` includes the overhead
    of the chunks, and `taken` is the part of it that counts in `shared`.
    """

    room: int = DEFAULT_ROOM
    shared: SharedRoom = field(default_factory=SharedRoom)
    chunks: deque[tuple[int, bytes]] = field(default_factory=deque, repr=False)
    dropped: int = 0
    kept: int = 0
    taken: int = 0

    def keep(self, at: int, data: bytes) -> None:
        """Keep a chunk if there is room; once one did not fit, keep nothing more."""
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
        """Tell whether there is shared room: all answers together may take as much as one alone."""
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
        """Release the shared room at the end of the call."""
        self.shared.taken -= self.taken
        self.taken = 0
