"""Cut bodies into hashed pieces, with a cache of recent bodies, because agents resend their history each time.

The part that a body shares with a cached one is compared byte by byte, and neither parsed nor hashed again, nor is it
in memory twice.
"""

import hashlib
from collections import deque
from collections.abc import Buffer, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
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
    """A cached body; `before` is the one that it replaces."""

    cutting: Cutting
    pieces: tuple[Piece, ...]
    before: "CachedBody | None" = None

    @property
    def size(self) -> int:
        """Return the size of the body in bytes."""
        return self.cutting.ends[-1]

    def shared(self, body: bytes) -> int:
        """Return the number of pieces that another body begins with, up to a fixed end; 0 if fewer than half."""
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


class PieceCache:
    """Cut bodies with a cache; thread-safe."""

    def __init__(self, room: int = CACHE_SIZE) -> None:
        self._room = self._free = room
        self._known: deque[CachedBody] = deque()
        self._lock = Lock()

    def pieces(self, body: bytes) -> Sequence[Piece]:
        """Return the pieces of a body, the same as `body_parts.cut` returns."""
        return self.cut(body)[0].pieces

    def cut(self, body: bytes) -> tuple[CutBody, bytes]:
        """Return a body as pieces, and its outline.

        The outline is the body, or the same JSON with a longest list that begins with a 0 instead of the elements that
        it shares with a cached body.
        """
        if len(body) < MIN_CACHED_SIZE:
            return CutBody([piece(data) for data in body_parts.cut(body)], len(body), len(body)), body
        known, outline, own_size = self._continued(body) or (_cut(body), body, len(body))
        with self._lock:
            self._remember(known, len(body))
        return CutBody(known.pieces, len(body), own_size), outline

    def _continued(self, body: bytes) -> tuple[CachedBody, bytes, int] | None:
        """Return a body that continues a cached one, its outline, and the number of bytes that it adds."""
        for known in reversed([*self._known]):
            if count := known.shared(body):
                end = known.cutting.ends[count - 1]
                rest = body_parts.continued(body, known.cutting, end)
                if rest is None:
                    return None
                outline = body_parts.outline(body, known.cutting, end)
                return _continued(body, known, count, rest), outline, len(body) - end
        return None

    def _remember(self, known: CachedBody, size: int) -> None:
        """Cache a body that another one may continue; one that has no room leaves the others."""
        if size > self._room or not known.cutting.fixed:
            return
        before, known = known.before, replace(known, before=None)
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


def _cut(body: bytes) -> CachedBody:
    cutting = body_parts.cutting(body)
    source = body if len(body) <= CACHE_SIZE else memoryview(body)
    return CachedBody(cutting, tuple(piece(source[start:end]) for start, end in pairwise([0, *cutting.ends])))


def _continued(body: bytes, known: CachedBody, count: int, rest: Cutting) -> CachedBody:
    """Return a body that begins with `count` pieces of another one and continues with the cuts `rest`."""
    ends = known.cutting.ends[:count]
    fresh = [piece(body[start:end]) for start, end in pairwise([ends[-1], *rest.ends])]
    # Only the last body of a conversation is kept.
    before = known if count >= len(known.pieces) - MAX_LAST else None
    return CachedBody(Cutting(ends + rest.ends, rest.start, rest.fixed), (*known.pieces[:count], *fresh), before)
