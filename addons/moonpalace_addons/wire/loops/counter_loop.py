"""Detect a loop whose rounds differ only by numbers that count up or down.

Every run of ASCII digits is replaced by a single "0", and the numbers are kept in a list. Where the replaced text (the
shadow) ends in a loop, its numbers form a table with one row per round. It is a counter loop if each column has a
constant step most of the time, and at least one step is not zero. A unit needs letters: tables, matrices and the
numbers from 1 to 1000 are no loops. Families of 32 registers, cases or files are legitimate text, so more copies are
required than for exact repetition.
"""

import re
from collections import Counter
from functools import lru_cache
from itertools import pairwise

from moonpalace_addons.wire.loops.tail_period import Rule, Tail, tails

_WINDOW = 32_768
_COPIES_AT_THRESHOLD_1 = 20
_LENGTH_AT_THRESHOLD_1 = 400
# Slack of the shadow over the window before it is cut, because cutting copies it.
_SLACK = 8192
# Digits at the end of a block may continue in the next one, but not without limit.
_MAX_HELD_DIGITS = 600
# Longer numbers keep their last digits: these count up too, memory is bounded, and int() never fails.
_MAX_DIGITS = 15
_MIN_LETTERS = 4
_EAST_ASIAN_START = "\u2e80"
_MIN_SAME_STEP_SHARE = 0.75
# Rows checked before the whole table, enough to reject most data; one of the four steps may differ.
_PRECHECK_ROWS = 5

_NUMBER = re.compile("[0-9]+")
_DIGITS = "0123456789"


class CounterLoop:
    """Follow a text block by block; memory is bounded by 41,000 characters of shadow and half as many numbers."""

    def __init__(self, threshold: float, shortest: int) -> None:
        self._rule = _rule(threshold, shortest)
        self._min_numbers = int(self._rule.copies)  # each copy has one
        self._held = ""
        self._shadow = ""
        self._numbers: list[str] = []

    def feed(self, block: str) -> int | None:
        """Take the next characters and return the length of the last unit if the text ends in a counter loop."""
        self._append(self._held + block)
        if len(self._numbers) < self._min_numbers:
            return None
        for tail in tails(self._shadow, self._rule):
            unit = self._shadow[-tail.period :]
            columns = unit.count("0")
            if columns and _count_letters(unit) >= _MIN_LETTERS and self._is_counter(columns, tail):
                return len(unit) - columns + sum(map(len, self._numbers[-columns:]))
        return None

    def _append(self, text: str) -> None:
        held = len(text) - len(text.rstrip(_DIGITS))
        if held > _MAX_HELD_DIGITS:
            held = 0
        end = len(text) - held
        text, self._held = text[:end], text[end:]
        numbers = _NUMBER.findall(text)
        if numbers:
            self._numbers += [number[-_MAX_DIGITS:] for number in numbers]
            text = _NUMBER.sub("0", text)
        self._shadow += text
        if len(self._shadow) > _WINDOW + _SLACK:
            self._shadow = self._shadow[-_WINDOW:]
            del self._numbers[: len(self._numbers) - self._shadow.count("0")]

    def _is_counter(self, columns: int, tail: Tail) -> bool:
        rows = tail.length // tail.period
        return all(
            _is_counting(self._numbers[-columns * height :], columns) for height in (min(rows, _PRECHECK_ROWS), rows)
        )


@lru_cache(maxsize=8)
def _rule(threshold: float, shortest: int) -> Rule:
    copies = _COPIES_AT_THRESHOLD_1 / threshold
    return Rule(max(shortest, int(_LENGTH_AT_THRESHOLD_1 / threshold)), copies, int(_WINDOW / copies))


def _count_letters(unit: str) -> int:
    """Return the number of letters; letters of East Asian scripts count twice because one is a word."""
    return sum(2 if char >= _EAST_ASIAN_START else 1 for char in unit if char.isalpha())


def _is_counting(numbers: list[str], columns: int) -> bool:
    """Tell whether each column of a table, given row by row, has a steady step, and at least one is not 0."""
    counting = False
    for column in range(columns):
        step = _main_step(numbers[column::columns])
        if step is None:
            return False
        counting = counting or step != 0
    return counting


def _main_step(column: list[str]) -> int | None:
    """Return the difference between nearly all neighbours in a column, None if there is none."""
    values = [int(number) for number in column]
    steps = Counter(after - before for before, after in pairwise(values))
    step, count = steps.most_common(1)[0]
    return step if count >= _MIN_SAME_STEP_SHARE * (len(values) - 1) else None
