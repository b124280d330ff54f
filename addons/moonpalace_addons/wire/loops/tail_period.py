"""Find the periods at the end of a text: a unit that is repeated exactly up to the last character.

A text ends with period p over L characters if each of its last L characters, except the first p, equals the one p
before it. If L is as long as a rule requires, at least the last `overlap` characters occur once more, p earlier, with
`overlap` known in advance. So a single search for that needle from the end finds the shortest candidate. A shorter
needle would find the same, but indentation alone gives thousands of candidates for a needle of 16 characters. After a
candidate whose run is too short, Fine and Wilf's theorem gives a lower bound for the next period, so few searches are
needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

_FIRST_GALLOP = 64
_MIN_RUN = 8
# Copies are one plus a quotient: rounding must not push a product that should be whole over the next integer.
_ROUNDING_ERROR = 1e-9


@dataclass(frozen=True, slots=True)
class Rule:
    """The definition of a loop: minimum length, minimum number of copies, maximum period, in characters.

    `copies` is greater than 1 and may be a fraction: a loop of 2.5 copies has half a unit more than two whole ones.
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
        """Return the minimum number of characters that a loop with at least this period repeats at its end."""
        return ceil(max(self.min_length - self.min_length / self.copies, (self.copies - 1) * period) - _ROUNDING_ERROR)


@dataclass(frozen=True, slots=True)
class Tail:
    """A period, and the number of characters at the end of the text over which it holds."""

    period: int
    length: int


def nearest_repeat(text: str, size: int, max_period: int) -> int:
    """Return the shortest distance at which the last `size` characters may repeat; 0 if they do not."""
    end = len(text)
    if end <= size:
        return 0
    needle = _strip_leading_run(text[end - size :])
    begin = end - len(needle)
    found = text.rfind(needle, max(0, begin - max_period), end - 1)
    return begin - found if found >= 0 else 0


def tails(text: str, rule: Rule, min_period: int = 1) -> Iterator[Tail]:
    """Yield the loops that `text` ends with, shortest period first, without multiples of a period.

    `min_period` starts the search there, if shorter periods are known to be absent.
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
    """Return the needle without a run of one character at its start, if enough of it is left.

    The search compares from the end wherever the first character matches. In long runs of spaces or dashes that is
    everywhere, and each comparison is long. What follows the run is rarer.
    """
    first = needle[0]
    if not needle.startswith(first * _MIN_RUN):
        return needle
    rest = needle.lstrip(first)
    return rest if len(rest) * 4 > len(needle) else needle


def _equal_before(text: str, left: int, right: int) -> int:
    """Return how many characters before `left` equal those before `right`, by a galloping search."""
    start = left
    size = _FIRST_GALLOP
    while left >= size and text[left - size : left] == text[right - size : right]:
        left, right, size = left - size, right - size, size * 2
    while size := size // 2:
        if left >= size and text[left - size : left] == text[right - size : right]:
            left, right = left - size, right - size
    return start - left
