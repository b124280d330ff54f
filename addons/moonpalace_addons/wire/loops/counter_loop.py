"""Find a loop whose rounds are the same but for numbers that count on.

The text is followed through its shadow, in which every run of ASCII digits is a single "0", beside a list of those
numbers. Where the shadow ends in a loop, its numbers form a table with one row for each round. It is a counter loop
when each column has the same step most of the time and one of them a step that is not zero. A unit needs letters:
tables, matrices and the numbers from 1 to 1000 are no loops. Families of 32 registers, cases or files are legitimate
text, so more copies are asked for than where a unit is repeated exactly.
"""

import re
from collections import Counter
from itertools import pairwise

from moonpalace_addons.wire.loops.tail_period import Rule, Tail, tails

_WINDOW = 32_768
_COPIES_AT_THRESHOLD_1 = 20
_LENGTH_AT_THRESHOLD_1 = 400
# How far the shadow may outgrow the window before it is cut: cutting copies it.
_SLACK = 8192
# Digits at the end of a block may go on in the next one, but not for ever.
_MAX_HELD_DIGITS = 600
# Of longer numbers the last digits: they count on too, memory is bounded, and int() never refuses.
_MAX_DIGITS = 15
_MIN_LETTERS = 4
_EAST_ASIAN_START = "\u2e80"
_MIN_SAME_STEP_SHARE = 0.75
# Enough to reject most data before the whole table is looked at; of four steps one may differ.
_PRECHECK_ROWS = 5

_NUMBER = re.compile("[0-9]+")
_DIGITS = "0123456789"


class CounterLoop:
    """Follow a text block by block; memory is bounded by 41,000 characters of shadow and half as many numbers."""

    def __init__(self, threshold: float, shortest: int) -> None:
        copies = _COPIES_AT_THRESHOLD_1 / threshold
        self._rule = Rule(max(shortest, int(_LENGTH_AT_THRESHOLD_1 / threshold)), copies, int(_WINDOW / copies))
        self._held = ""
        self._shadow = ""
        self._numbers: list[str] = []

    def feed(self, block: str) -> int | None:
        """Take the next characters and return the length of the last unit if the text ends in a counter loop."""
        self._append(self._held + block)
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


def _count_letters(unit: str) -> int:
    """Return the number of letters, those of the East Asian scripts counted twice because one is a word."""
    return sum(2 if char >= _EAST_ASIAN_START else 1 for char in unit if char.isalpha())


def _is_counting(numbers: list[str], columns: int) -> bool:
    """Tell whether each column of a table, given row by row, has a steady step, and one of them one that is not 0."""
    counting = False
    for column in range(columns):
        step = _main_step(numbers[column::columns])
        if step is None:
            return False
        counting = counting or step != 0
    return counting


def _main_step(column: list[str]) -> int | None:
    """Return the difference that nearly all neighbours in a column have, None if there is none."""
    values = [int(number) for number in column]
    steps = Counter(after - before for before, after in pairwise(values))
    step, count = steps.most_common(1)[0]
    return step if count >= _MIN_SAME_STEP_SHARE * (len(values) - 1) else None
