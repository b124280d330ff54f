"""Find the periods with which a text ends: a unit that is repeated, exactly, up to the last character.

A text ends with period p over L characters when each of its last L characters, but for the first p, equals the one p
before it. If L is as long as a rule asks, then at least the last `overlap` characters occur once more, p earlier, with
`overlap` known in advance. So one search for that needle from the end finds the shortest candidate. A shorter needle
would find the same, but indentation alone gives thousands of candidates for one of 16 characters. After a candidate
with too short a run, Fine and Wilf's theorem says how far the next one is at least, so few searches are needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

_FIRST_GALLOP = 64
_MIN_RUN = 8
# Copies are one plus a quotient: where the product with a whole number should be whole, rounding may not add one.
_ROUNDING_ERROR = 1e-9


@dataclass(frozen=True, slots=True)
class Rule:
    """Hold what counts as a loop: its least length, its least number of copies, and its longest period in characters.

    `copies` is over 1 and may be a fraction: a loop of 2.5 copies has half a unit more than two whole ones.
    """

    min_length: int
    copies: float
    max_period: int

    @property
    def window(self) -> int:
        """Return how many characters at the end of a text are enough to find every loop."""
        return max(self.min_length, ceil(self.max_period * self.copies))

    def accepts(self, period: int, length: int) -> bool:
        """Tell whether a run of `length` characters with this period is a loop."""
        return length >= self.min_length and length >= self.copies * period - _ROUNDING_ERROR

    def min_overlap(self, period: int) -> int:
        """Return how many characters any loop with at least this period surely repeats at its end."""
        return ceil(max(self.min_length - self.min_length / self.copies, (self.copies - 1) * period) - _ROUNDING_ERROR)


@dataclass(frozen=True, slots=True)
class Tail:
    """Hold a period and over how many characters at the end of the text it holds."""

    period: int
    length: int


def nearest_repeat(text: str, size: int, max_period: int) -> int:
    """Return a distance at which the last `size` characters may occur again, none nearer; 0 if they do not."""
    end = len(text)
    if end <= size:
        return 0
    needle = _strip_leading_run(text[end - size :])
    begin = end - len(needle)
    found = text.rfind(needle, max(0, begin - max_period), end - 1)
    return begin - found if found >= 0 else 0


def tails(text: str, rule: Rule, min_period: int = 1) -> Iterator[Tail]:
    """Yield the loops that `text` ends with, shortest period first, without the multiples of a period.

    `min_period` may say that there is none with a shorter period; then the search begins there.
    """
    end = len(text)
    while min_period <= rule.max_period:
        overlap = rule.min_overlap(min_period)
        if end < overlap + min_period:
            return
        needle = _strip_leading_run(text[end - overlap :])
        begin = end - len(needle)
        found = text.rfind(needle, max(0, begin - rule.max_period), end - min_period)
        if found < 0:
            return
        period = begin - found
        repeated = end - begin + _equal_before(text, found, begin)
        if rule.accepts(period, period + repeated):
            yield Tail(period, period + repeated)
        min_period = max(period, repeated) + 1


def _strip_leading_run(needle: str) -> str:
    """Return the needle without one character's run at its start, if enough is left.

    The search compares from the end wherever the first character fits: where spaces or dashes come in long runs that is
    everywhere, and each comparison is long. What follows the run is rarer.
    """
    first = needle[0]
    if not needle.startswith(first * _MIN_RUN):
        return needle
    rest = needle.lstrip(first)
    return rest if len(rest) * 4 > len(needle) else needle


def _equal_before(text: str, left: int, right: int) -> int:
    """Return how many characters before `left` equal those before `right`, by slices: doubled, then halved."""
    start = left
    size = _FIRST_GALLOP
    while left >= size and text[left - size : left] == text[right - size : right]:
        left, right, size = left - size, right - size, size * 2
    while size := size // 2:
        if left >= size and text[left - size : left] == text[right - size : right]:
            left, right = left - size, right - size
    return start - left
