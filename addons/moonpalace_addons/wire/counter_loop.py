"""Find a loop whose rounds are the same but for numbers that count on.

The text is followed through its shadow, in which every run of ASCII digits is a single "0", beside a list of those
numbers. Where the shadow ends in a loop, its numbers form a table with one row for each round. It is a counter loop when
each column has the same step most of the time and one of them a step that is not zero. A unit needs letters: tables,
matrices and the numbers from 1 to 1000 are no loops. Families of 32 registers, cases and files are legitimate text, so
more copies are asked for than where a unit is repeated exactly.
"""

import re
from collections import Counter

from moonpalace_addons.wire.tail_period import Rule, Tail, tails

_WINDOW = 32_768
_COPIES_AT_ONE = 20
_LENGTH_AT_ONE = 400
# Digits at the end of a block may go on in the next one, but not for ever.
_LONGEST_HELD = 600
# int() refuses very long numbers; these are compared as text.
_MOST_DIGITS = 15
_LEAST_LETTERS = 4
_FIRST_WIDE = "\u2e80"
_LEAST_SAME_STEPS = 0.75
# Enough to reject most data before the whole table is looked at; of four steps one may differ.
_ROWS_FIRST = 5

_NUMBER = re.compile("[0-9]+")
_LAST_DIGITS = re.compile("[0-9]*$")


class CounterLoop:
    """Follow a text block by block; memory is bounded by 65,536 characters of shadow, half of them numbers."""

    def __init__(self, threshold: float, shortest: int) -> None:
        copies = _COPIES_AT_ONE / threshold
        self._rule = Rule(max(shortest, int(_LENGTH_AT_ONE / threshold)), copies, int(_WINDOW / copies))
        self._held = ""
        self._shadow = ""
        self._numbers: list[int | str] = []

    def feed(self, block: str) -> str | None:
        """Take the next characters and return the last unit, numbers filled in, if the text ends in a counter loop."""
        self._append(self._held + block)
        for tail in tails(self._shadow, self._rule):
            unit = self._shadow[-tail.period :]
            if _count_letters(unit) >= _LEAST_LETTERS and self._counts_on(unit.count("0"), tail):
                return self._fill_in(unit)
        return None

    def _append(self, text: str) -> None:
        match = _LAST_DIGITS.search(text)
        self._held = match.group() if match and len(match.group()) <= _LONGEST_HELD else ""
        text = text[: len(text) - len(self._held)]
        numbers = _NUMBER.findall(text)
        if numbers:
            self._numbers += [int(number) if len(number) <= _MOST_DIGITS else number for number in numbers]
            text = _NUMBER.sub("0", text)
        self._shadow += text
        if len(self._shadow) >= 2 * _WINDOW:
            self._shadow = self._shadow[-_WINDOW:]
            del self._numbers[: len(self._numbers) - self._shadow.count("0")]

    def _counts_on(self, columns: int, tail: Tail) -> bool:
        rows = tail.length // tail.period
        return columns > 0 and all(
            _counts_on(self._numbers[-columns * height :], columns) for height in (min(rows, _ROWS_FIRST), rows)
        )

    def _fill_in(self, unit: str) -> str:
        numbers = iter(self._numbers[-unit.count("0") :])
        return _NUMBER.sub(lambda _: str(next(numbers)), unit)


def _count_letters(unit: str) -> int:
    """Return the number of letters, those of the East Asian scripts counted twice because one is a word."""
    return sum(2 if char >= _FIRST_WIDE else 1 for char in unit if char.isalpha())


def _counts_on(numbers: list[int | str], columns: int) -> bool:
    steps = [_main_step(numbers[column::columns]) for column in range(columns)]
    return None not in steps and any(steps)


def _main_step(column: list[int | str]) -> int | None:
    """Return the difference that nearly all neighbours in a column have, None if there is none."""
    steps = Counter(map(_step, column, column[1:]))
    step, count = steps.most_common(1)[0]
    return step if count >= _LEAST_SAME_STEPS * (len(column) - 1) else None


def _step(number: int | str, following: int | str) -> int | None:
    if isinstance(number, int) and isinstance(following, int):
        return following - number
    return 0 if number == following else None
