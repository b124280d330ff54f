"""Cut bodies into pieces with their hashes, and know those of the last bodies: an agent resends its history each time.

What a body has in common with one of them is compared, byte by byte, and neither read nor hashed again.
"""

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from threading import Lock
from typing import NamedTuple

from moonpalace_addons.store.write import body_parts
from moonpalace_addons.store.write.body_parts import Cutting

ROOM = 8_000_000
"""Bytes of the bodies that are remembered."""
LEAST = 16_000
"""Bytes of the shortest that is: others take little time."""
MAX_LAST = 4
"""Pieces at the end of a body in which the next one of the same conversation differs."""
HASH_BYTES = 16


class Piece(NamedTuple):
    """A piece of a body, and what it is known by."""

    hash: bytes
    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A body that is remembered; `before` is one that it takes the place of."""

    cutting: Cutting
    pieces: tuple[Piece, ...]
    before: "Known | None" = None

    @property
    def size(self) -> int:
        """Return how many bytes it has."""
        return self.cutting.ends[-1]

    def shared(self, body: bytes) -> int:
        """Return how many pieces another body begins with, up to the end of an element; 0 if it is less than half."""
        ends, half = self.cutting.ends, len(self.pieces) // 2
        if not body.startswith(self.pieces[half].data, ends[half - 1]):
            return 0
        count, start = 0, 0
        for piece, end in zip(self.pieces, ends, strict=True):
            if not body.startswith(piece.data, start):
                break
            count, start = count + 1, end
        while count and ends[count - 1] not in self.cutting.fixed:
            count -= 1
        return count


class Resent:
    """Cut bodies, with a memory; from any thread."""

    def __init__(self, room: int = ROOM) -> None:
        self._free = room
        self._known: deque[Known] = deque()
        self._lock = Lock()

    def pieces(self, body: bytes) -> Sequence[Piece]:
        """Return the pieces of a body: those that `parts.cut` gives."""
        if len(body) < LEAST:
            return [piece(data) for data in body_parts.cut(body)]
        known = self._continued(body) or _cut(body)
        with self._lock:
            self._remember(known, len(body))
        return known.pieces

    def _continued(self, body: bytes) -> Known | None:
        for known in reversed([*self._known]):
            if count := known.shared(body):
                end = known.cutting.ends[count - 1]
                rest = body_parts.continued(body, known.cutting, end)
                return _continued(body, known, count, rest) if rest is not None else None
        return None

    def _remember(self, known: Known, size: int) -> None:
        before, known = known.before, replace(known, before=None)
        if before is not None and before in self._known:
            self._known.remove(before)
            self._free += before.size
        while self._known and self._free < size:
            self._free += self._known.popleft().size
        if size <= self._free and known.cutting.fixed:
            self._known.append(known)
            self._free -= size


def piece(data: bytes) -> Piece:
    """Return a piece of a body."""
    return Piece(hashlib.blake2b(data, digest_size=HASH_BYTES).digest(), data)


def _cut(body: bytes) -> Known:
    cutting = body_parts.cutting(body)
    return Known(cutting, tuple(piece(body[start:end]) for start, end in pairwise([0, *cutting.ends])))


def _continued(body: bytes, known: Known, count: int, rest: Cutting) -> Known:
    """Return a body that begins with `count` pieces of another one, and is then cut as `rest` says."""
    ends = known.cutting.ends[:count]
    fresh = [piece(body[start:end]) for start, end in pairwise([ends[-1], *rest.ends])]
    # Of a conversation the last body is enough.
    before = known if count >= len(known.pieces) - MAX_LAST else None
    return Known(Cutting(ends + rest.ends, rest.start, rest.fixed), (*known.pieces[:count], *fresh), before)
