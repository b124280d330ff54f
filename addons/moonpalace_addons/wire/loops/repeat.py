"""Detect that a text which is being written has run into a loop.

Three tests, each for one kind of loop:

    period    the same unit repeated exactly (`tail_period`), tested at every 16th character
    near      rounds that differ by a word or in their order (`novelty`), at every 256th
    counter   rounds that differ by numbers that count (`counter_loop`), at every 256th

All tests look at the end of the text only, so the delay of detection does not depend on how much text came before.
Lengths are in characters (code points). Repetition that a user asked for looks like a loop too: the text alone cannot
tell.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Literal

from moonpalace_addons.wire.loops.counter_loop import CounterLoop
from moonpalace_addons.wire.loops.data_text import looks_like_data
from moonpalace_addons.wire.loops.novelty import BLOCK_LENGTH, Stall
from moonpalace_addons.wire.loops.tail_period import Rule, nearest_repeat, tails

type Test = Literal["period", "near", "counter"]

_STRIDE = 16
_MAX_SAMPLE = 200
# Lower thresholds count as this one, which requires 1,001 copies.
_MIN_THRESHOLD = 0.001
_MAX_PERIOD = 2730
_MAX_WINDOW = 65_536
_MIN_LOOP_LENGTH = 250
# Data and code repeat more: a matrix of 20 rows and columns, a list of 64 empty values.
_MIN_DATA_LOOP_LENGTH = 2000
# A higher min_length than this only delays detection: a repetition of that length is a loop anyway.
_MAX_MIN_LENGTH = 2250
# Slack of the text over the window before it is cut, because cutting copies it.
_SLACK = 4096


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop: which test found it, and where.

    `position` is the number of characters seen by then. `period` is the length of the unit in characters if all rounds
    are equal. `sample` is the end of the loop: its last unit, at most 200 characters of it; if rounds differ in their
    order, the last 200 characters.
    """

    test: Test
    position: int
    period: int | None
    sample: str


@dataclass(frozen=True, slots=True)
class _Search:
    """How to search for periods: from position `start` on, in the last `window` characters.

    A loop that ends here repeated most of its characters some time ago: if the last `probe_length` ones are not
    repeated, the next search is `interval` characters later.
    """

    threshold: float
    rule: Rule
    window: int
    start: int
    interval: int
    probe_length: int


class Detector:
    """Watch one text for loops. It is fed in order in pieces of any size; the cuts make no difference.

    `threshold`, between 0 and 1, is the tolerated repetition: a loop is found when its new part is at most that share
    of the part that repeats it (0.5: three copies). A higher threshold finds loops earlier; 0 disables detection.
    Nothing is found in the first `min_length` characters. A loop has at least 250 characters plus half of `min_length`,
    and at least 2,000 if its unit looks like data or code. The first loop stays in `fired`; `length` counts all
    characters fed.

    Memory: at most about 70,000 characters, at 0.5 about 12,300, plus the limits stated by `novelty` and
    `counter_loop`.
    """

    def __init__(self, threshold: float, min_length: int) -> None:
        self.fired: Loop | None = None
        self.length = 0
        self._watching = threshold > 0
        self._min_length = min_length
        self._pending = ""
        self._position = 0
        self._next_block = BLOCK_LENGTH
        self._text = ""
        if self._watching:
            self._search = search = _search(threshold, min_length)
            self._next_search = search.start
            self._stall = Stall(search.threshold)
            self._counter = CounterLoop(search.threshold, search.rule.min_length)

    def feed(self, text: str) -> Loop | None:
        """Take the next characters and return the loop that they complete, the first time only."""
        self.length += len(text)
        if not self._watching:
            return None
        text, start = self._pending + text, 0
        while (end := start + min(self._next_search, self._next_block) - self._position) <= len(text):
            self.fired = self._advance(text[start:end])
            if self.fired:
                self._stop()
                return self.fired
            start = end
        self._pending = text[start:]
        return None

    def _advance(self, piece: str) -> Loop | None:
        self._position += len(piece)
        self._text += piece
        if len(self._text) > self._search.window + _SLACK:
            self._text = self._text[-self._search.window :]
        loop = self._find_period() if self._position == self._next_search else None
        if self._position == self._next_block and not loop:
            self._next_block += BLOCK_LENGTH
            loop = self._advance_block()
        return loop

    def _find_period(self) -> Loop | None:
        search = self._search
        min_period = nearest_repeat(self._text, search.probe_length, search.rule.max_period)
        if not min_period:
            self._next_search = self._position + search.interval
            return None
        for tail in tails(self._text, search.rule, min_period):
            unit = self._text[-tail.period :]
            if tail.length >= _MIN_DATA_LOOP_LENGTH or not looks_like_data(unit):
                return self._loop("period", unit, tail.period)
        self._next_search = self._position + _STRIDE
        return None

    def _advance_block(self) -> Loop | None:
        block = self._text[-BLOCK_LENGTH:]
        stalled = self._stall.feed(block)
        unit = self._counter.feed(block)
        if self._position <= self._min_length:
            return None
        if unit:
            return self._loop("counter", self._text[-unit:])
        return self._loop("near", self._text) if stalled else None

    def _loop(self, test: Test, unit: str, period: int | None = None) -> Loop:
        return Loop(test, self._position, period, unit[-_MAX_SAMPLE:])

    def _stop(self) -> None:
        self._watching = False
        self._pending = self._text = ""
        del self._stall, self._counter


@lru_cache(maxsize=8)
def _search(threshold: float, min_length: int) -> _Search:
    """Return what a detector's settings mean; cached, as each text of each call has a detector."""
    threshold = min(max(threshold, _MIN_THRESHOLD), 1.0)
    copies = 1 + 1 / threshold
    longest = min(_MAX_PERIOD, int(min(_MAX_WINDOW, ceil(copies * _MAX_PERIOD)) / copies))
    rule = Rule(min(_MIN_LOOP_LENGTH + min_length // 2, _MAX_MIN_LENGTH), copies, longest)
    overlap = rule.min_overlap(1)
    interval = max(overlap // 2 // _STRIDE, 1) * _STRIDE
    start = ceil(max(min_length + 1, rule.min_length) / _STRIDE) * _STRIDE
    return _Search(threshold, rule, rule.window, start, interval, overlap - interval + _STRIDE)
