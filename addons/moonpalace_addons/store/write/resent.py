"""Cut bodies into hashed pieces, with a cache of recent bodies, because agents resend their history each time.

The part that a body shares with a cached one is compared byte by byte, and neither parsed nor hashed again, nor is it
in memory twice.
"""

import hashlib
from collections import deque
from collections.abc import Buffer, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from threading import Lock
from typing import NamedTuple

from moonpalace_addons.store.write import body_parts
from moonpalace_addons.store.write.body_parts import Cutting

CACHE_SIZE = 8_000_000
"""Total bytes of cached bodies."""
MIN_CACHED_SIZE = 16_000
"""Smaller bodies, in bytes, are not cached, because cutting them is fast."""
MAX_LAST = 4
"""Pieces at the end of a body that may differ in the next one of the same conversation."""
HASH_BYTES = 16


class Piece(NamedTuple):
    """A piece of a body and its hash; of a large body, a view and not a copy."""

    hash: bytes
    data: Buffer


@dataclass(frozen=True, slots=True, eq=False)
class CutBody:
    """A body as pieces; `size` is the number of its bytes, `own_size` of those that were not cached before."""

    pieces: Sequence[Piece] = field(repr=False)
    size: int
    own_size: int

    def __len__(self) -> int:
        """Return the size of the body in bytes."""
        return self.size

    def __bytes__(self) -> bytes:
        """Return the whole body."""
        return b"".join([piece.data for piece in self.pieces])


@dataclass(frozen=True, slots=True, eq=False)
class CachedBody:
    """A cached body."""

    cutting: Cutting
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """Return the size of the body in bytes."""
        return self.cutting.ends[-1]

    def shared(self, body: bytes) -> int:
        """Return the number of pieces that another body begins with, up to a fixed end; 0 if fewer than half."""
        ends, half = self.cutting.ends, len(self.pieces) // 2
        if not body.startswith(self.pieces[half].data, ends[half - 1]):
            return 0
        same = map(body.startswith, [piece.data for piece in self.pieces], (0, *ends))
        count = len([*takewhile(bool, same)])
        while count and ends[count - 1] not in self.cutting.fixed:
            count -= 1
        return count


class PieceCache:
    """Cut bodies with a cache; thread-safe."""

    def __init__(self, room: int = CACHE_SIZE) -> None:
        self._room = self._free = room
        self._known: deque[CachedBody] = deque()
        self._lock = Lock()

    def pieces(self, body: bytes) -> Sequence[Piece]:
        """Return the pieces of a body, the same as `body_parts.cut` returns."""
        return _cut_short(body) if len(body) < MIN_CACHED_SIZE else self.cut(body)[0].pieces

    def cut(self, body: bytes) -> tuple[CutBody, bytes]:
        """Return a body as pieces, and its outline.

        The outline is the body, or the same JSON with a longest list that begins with a 0 instead of the elements that
        it shares with a cached body.
        """
        if len(body) < MIN_CACHED_SIZE:
            return CutBody(_cut_short(body), len(body), len(body)), body
        known, before, outline, own_size = self._continued(body) or (_cut(body), None, body, len(body))
        with self._lock:
            self._remember(known, before)
        return CutBody(known.pieces, len(body), own_size), outline

    def _continued(self, body: bytes) -> tuple[CachedBody, CachedBody | None, bytes, int] | None:
        """Return a body that continues a cached one, the one that it replaces, its outline, and the bytes that it adds.

        Of a conversation only the last body is kept.
        """
        for known in reversed([*self._known]):
            if count := known.shared(body):
                continued = body_parts.continued(body, known.cutting, count)
                if continued is None:
                    return None
                cutting, outline = continued
                ends = cutting.ends[count - 1 :]
                fresh = [piece(body[start:end]) for start, end in pairwise(ends)]
                before = known if count >= len(known.pieces) - MAX_LAST else None
                return CachedBody(cutting, (*known.pieces[:count], *fresh)), before, outline, len(body) - ends[0]
        return None

    def _remember(self, known: CachedBody, before: CachedBody | None) -> None:
        """Cache a body that another one may continue; one that has no room leaves the others."""
        size = known.size
        if size > self._room or not known.cutting.fixed:
            return
        if before is not None and before in self._known:
            self._known.remove(before)
            self._free += before.size
        while self._free < size:
            self._free += self._known.popleft().size
        self._known.append(known)
        self._free -= size


def piece(data: Buffer) -> Piece:
    """Return data as a Piece."""
    return Piece(hashlib.blake2b(data, digest_size=HASH_BYTES).digest(), data)


def _cut_short(body: bytes) -> list[Piece]:
    """Return the pieces of a body that is not cached."""
    return [piece(data) for data in body_parts.cut(body)]


def _cut(body: bytes) -> CachedBody:
    cutting = body_parts.cutting(body)
    source = body if len(body) <= CACHE_SIZE else memoryview(body)
    return CachedBody(cutting, tuple(piece(source[start:end]) for start, end in pairwise([0, *cutting.ends])))
