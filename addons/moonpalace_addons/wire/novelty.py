"""Notice a text that goes on without anything new: a loop whose rounds differ by a word or in their order.

Only the sequences of 8 characters count. A text has stalled when its last characters, some thousands by the threshold,
have few different sequences, nearly all of which occurred in the 12,288 characters before too. Legitimate data with the
same keys in every record has new values, and more of them than that.

Kept are the low bytes of the code points. So a sequence is one number, built eight times as fast as a string, and two
sequences of one text that agree in all eight bytes are the same for all practical ends.
"""

from collections.abc import Sequence
from itertools import islice
from math import ceil
from struct import unpack_from

BLOCK = 256

_SEQUENCE = 8
_MOST_DIFFERENT = 368
_MOST_NEW = 15
_REMEMBERED = 12_288
_LENGTH_AT_ONE = 1500
# With a threshold so low that more would be needed the test is off: 65,536 characters, as for periods.
_MOST_BLOCKS = 256
# Two of the eight ways to cut a text into sequences side by side are enough to see that most text is various.
_SAMPLED = (0, 4)
_ALL = range(_SEQUENCE)
_SLACK = 4096


class Stall:
    """Follow a text block by block; memory is bounded by 82,176 bytes, at a threshold of 0.5 by 19,712."""

    def __init__(self, threshold: float) -> None:
        blocks = ceil(_LENGTH_AT_ONE / threshold / BLOCK)
        self._on = blocks <= _MOST_BLOCKS
        self._length = blocks * BLOCK
        self._low = b""
        self._blocks_to_skip = 0

    def feed(self, block: str) -> bool:
        """Take the next block and tell whether the text has stalled."""
        if not self._on:
            return False
        self._low += block.encode("utf-32-le", "surrogatepass")[::4]
        kept = self._length + _REMEMBERED
        if len(self._low) > kept + _SLACK:
            self._low = self._low[-kept:]
        if self._blocks_to_skip:
            self._blocks_to_skip -= 1
            return False
        return len(self._low) >= self._length + _SEQUENCE - 1 and self._has_stalled()

    def _has_stalled(self) -> bool:
        for shifts in (_SAMPLED, _ALL):
            sequences = self._latest(shifts)
            excess = len(sequences) - _MOST_DIFFERENT
            if excess > 0:
                # A block takes the place of an older one, with which no more than its own sequences can go.
                self._blocks_to_skip = (excess - 1) // (BLOCK // _SEQUENCE * len(shifts))
                return False
        return self._count_new(sequences) <= _MOST_NEW

    def _latest(self, shifts: Sequence[int]) -> set[int]:
        """Return the different sequences that end in the last characters."""
        start = len(self._low) - self._length - _SEQUENCE + 1
        row = f"<{self._length // _SEQUENCE}Q"
        return set().union(*(unpack_from(row, self._low, start + shift) for shift in shifts))

    def _count_new(self, sequences: set[int]) -> int:
        """Return how many did not occur before, or one more than are allowed if that is less."""
        before = self._low[-self._length - _REMEMBERED : -self._length]
        new = (1 for number in sequences if number.to_bytes(_SEQUENCE, "little") not in before)
        return sum(islice(new, _MOST_NEW + 1))
