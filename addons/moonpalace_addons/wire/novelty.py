"""Notice a text that goes on without anything new: a loop whose rounds differ by a word or in their order.

The text is taken in blocks of 256 characters. Of a block only the set of its sequences of 8 characters counts: how many
of them did not occur in the last 8,192 to 16,384 characters, and how many different ones the latest blocks have
together. A stall is a run of blocks with almost no new sequence and few different ones; how long a run it takes
follows from the threshold. Legitimate data with the same keys in every record still has new values, so it keeps the
first number up; text over a small alphabet keeps the second one up.
"""

from collections import Counter, deque
from math import ceil

BLOCK = 256
GRAM = 8
# A caller gives each block with this many characters before it, so that sequences across two blocks count too.
CONTEXT = GRAM - 1

_REMEMBERED = 8192
# Of a run, whatever its length: with limits that do not depend on the threshold, a lower one can only fire later.
_MOST_NEW = 15
_MOST_DIFFERENT = 368
_LENGTH_AT_ONE = 1500
# With a threshold so low that the run would be longer than this the test is off: 65,536 characters, as for periods.
_MOST_BLOCKS = 256


class Stall:
    """Follow a text block by block; memory is bounded by 16,640 sequences and 256 blocks, at 0.5 by 12 blocks."""

    def __init__(self, threshold: float) -> None:
        needed = ceil(_LENGTH_AT_ONE / threshold / BLOCK)
        self._needed = needed if needed <= _MOST_BLOCKS else 0
        self._known: set[str] = set()
        self._known_before: set[str] = set()
        self._position = 0
        self._run: deque[tuple[int, set[str]]] = deque()
        self._new_in_run = 0
        self._different: Counter[str] = Counter()

    def feed(self, block: str) -> bool:
        """Take the next block with what stands before it and tell whether the text has stalled."""
        if not self._needed:
            return False
        grams = {block[start : start + GRAM] for start in range(len(block) - CONTEXT)}
        self._extend_run(self._count_new(grams), grams)
        return len(self._run) == self._needed

    def _count_new(self, grams: set[str]) -> int:
        new = grams - self._known
        new -= self._known_before
        self._known |= grams
        self._position += BLOCK
        if self._position % _REMEMBERED == 0:
            self._known, self._known_before = set(), self._known
        return len(new)

    def _extend_run(self, new: int, grams: set[str]) -> None:
        if new > _MOST_NEW:
            self._run.clear()
            self._different.clear()
            self._new_in_run = 0
            return
        self._run.append((new, grams))
        self._new_in_run += new
        self._different.update(grams)
        while len(self._run) > self._needed or self._new_in_run > _MOST_NEW or len(self._different) > _MOST_DIFFERENT:
            self._drop_first()

    def _drop_first(self) -> None:
        new, grams = self._run.popleft()
        self._new_in_run -= new
        self._different.subtract(grams)
        for gram in grams:
            if not self._different[gram]:
                del self._different[gram]
