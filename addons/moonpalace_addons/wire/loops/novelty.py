"""Detect a text that continues without anything new: a loop whose rounds differ by a word or in their order.

Only sequences of 8 characters count. A text has stalled if its last characters, some thousands depending on the
threshold, contain few distinct sequences, nearly all of which also occur in the 8,192 characters before. Legitimate
data with the same keys in every record has more new values than that.

Only the low byte of each code point is kept. A sequence is then a single number, built eight times as fast as a string,
and two sequences of one text that agree in all eight bytes are practically always equal.
"""

from collections.abc import Sequence
from itertools import islice
from math import ceil
from struct import unpack_from

BLOCK_LENGTH = 256

_SEQUENCE_LENGTH = 8
_MAX_DISTINCT = 368
_MAX_NEW = 15
_HISTORY_LENGTH = 8192
_LENGTH_AT_THRESHOLD_1 = 1500
# The test is off if the threshold is so low that it needs more: 65,536 characters, as for periods.
_MAX_BLOCKS = 256
# Two of the eight alignments are enough to see that most text is varied.
_SAMPLED_SHIFTS = (0, 4)
_ALL_SHIFTS = range(_SEQUENCE_LENGTH)
_SLACK = 4096


class Stall:
    """Follow a text block by block; memory is bounded by 78,080 bytes, at a threshold of 0.5 by 15,616."""

    def __init__(self, threshold: float) -> None:
        self._blocks = ceil(_LENGTH_AT_THRESHOLD_1 / threshold / BLOCK_LENGTH)
        self._on = self._blocks <= _MAX_BLOCKS
        self._length = self._blocks * BLOCK_LENGTH
        self._low = b""
        self._blocks_to_skip = 0

    def feed(self, block: str) -> bool:
        """Take the next block and tell whether the text has stalled."""
        if not self._on:
            return False
        self._low += block.encode("utf-32-le", "surrogatepass")[::4]
        kept = self._length + _HISTORY_LENGTH
        if len(self._low) > kept + _SLACK:
            self._low = self._low[-kept:]
        if self._blocks_to_skip:
            self._blocks_to_skip -= 1
            return False
        return len(self._low) >= self._length + _SEQUENCE_LENGTH - 1 and self._has_stalled()

    def _has_stalled(self) -> bool:
        for shifts in (_SAMPLED_SHIFTS, _ALL_SHIFTS):
            excess = len(self._latest(self._length, shifts)) - _MAX_DISTINCT
            if excess > 0:
                # Each block replaces an older one, which can remove no more sequences than it has itself.
                self._blocks_to_skip = (excess - 1) // (BLOCK_LENGTH // _SEQUENCE_LENGTH * len(shifts))
                return False
        half = self._blocks // 2
        if self._has_new_sequences(half * BLOCK_LENGTH):
            # These stay new as long as the run begins before them.
            self._blocks_to_skip = self._blocks - half
            return False
        return not self._has_new_sequences(self._length)

    def _latest(self, length: int, shifts: Sequence[int]) -> set[int]:
        """Return the distinct sequences that end in the last `length` characters."""
        start = len(self._low) - length - _SEQUENCE_LENGTH + 1
        row = f"<{length // _SEQUENCE_LENGTH}Q"
        return set().union(*(unpack_from(row, self._low, start + shift) for shift in shifts))

    def _has_new_sequences(self, length: int) -> bool:
        """Tell whether more than a few sequences in the last `length` characters did not occur before them."""
        before = self._low[-self._length - _HISTORY_LENGTH : -length]
        sequences = self._latest(length, _ALL_SHIFTS)
        new = (number for number in sequences if number.to_bytes(_SEQUENCE_LENGTH, "little") not in before)
        return sum(1 for _ in islice(new, _MAX_NEW + 1)) > _MAX_NEW
