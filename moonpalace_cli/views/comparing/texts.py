"""Find the words that changed within a text, in bounded time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from moonpalace_cli.views.comparing.sequences import Budget, stretches

WORD = re.compile(r"[^\W\u2e80-\U0010ffff]+|\s+|.", re.DOTALL)
"""A word, whitespace, or any other single character; Chinese and similar scripts have no spaces between words."""
ENOUGH = re.compile(r"(?:\s*+\S){4}")
"""The minimum unchanged text between two changes: fewer characters, not counting spaces, are equal by chance."""
FIRST_STEP = 4096
MAX_LINES = 100_000
"""Maximum lines of both texts together that are compared."""
MAX_IN_WORDS = 400_000
"""Maximum characters of differing lines on both sides together that are compared word by word."""
MAX_WORD = 200
"""Maximum characters by which the end of a common part is moved back to the beginning of a word."""


@dataclass(frozen=True, slots=True)
class Run:
    """A part of a text before and after; both are equal if it has not changed."""

    before: str
    after: str

    @property
    def is_same(self) -> bool:
        """Return whether it has not changed."""
        return self.before == self.after


def changes(before: str, after: str, budget: Budget) -> list[Run]:
    """Return the parts of a text in order, changed and unchanged."""
    head = word_start(before, after, common_start(before, after))
    # Reversing is by far the fastest way to compare ends.
    tail = common_start(before[head:][::-1], after[head:][::-1])
    tail = word_start(before[head:][::-1], after[head:][::-1], tail)
    middle = before[head : len(before) - tail], after[head : len(after) - tail]
    end = before[len(before) - tail :]
    return tidy([Run(before[:head], before[:head]), *in_lines(*middle, budget), Run(end, end)])


def common_start(one: str, other: str) -> int:
    """Return the length of the common prefix of two texts."""
    place, step = 0, FIRST_STEP
    while step:
        while one[place : place + step] == other[place : place + step] and place < min(len(one), len(other)):
            place = min(place + step, len(one), len(other))
        step //= 2
    return place


def word_start(one: str, other: str, place: int) -> int:
    """Return the last position in the common part of two texts at which no word of either text continues."""
    start = place
    while start and place - start < MAX_WORD and any(is_within_word(text, start) for text in (one, other)):
        start -= 1
    return start if place - start < MAX_WORD else place


def is_within_word(text: str, place: int) -> bool:
    """Return whether a position is inside a word."""
    around = WORD.match(text, place - 1, place + 1)  # the rest of a word may be long
    return around is not None and around.end() > place


def in_lines(before: str, after: str, budget: Budget) -> Iterator[Run]:
    """Yield the parts of a text, compared line by line; lines that differ are compared word by word."""
    if before.count("\n") + after.count("\n") > MAX_LINES:
        yield Run(before, after)
        return
    ours, theirs = before.splitlines(keepends=True), after.splitlines(keepends=True)
    for part in stretches(ours, theirs, budget):
        removed, added = "".join(ours[part.before]), "".join(theirs[part.after])
        if part.is_same or not (removed and added) or len(removed) + len(added) > MAX_IN_WORDS:
            yield Run(removed, added)
        else:
            yield from in_words(WORD.findall(removed), WORD.findall(added), budget)


def in_words(before: Sequence[str], after: Sequence[str], budget: Budget) -> Iterator[Run]:
    """Yield the parts of texts that are given as words."""
    for part in stretches(before, after, budget):
        yield Run("".join(before[part.before]), "".join(after[part.after]))


def tidy(runs: Iterable[Run]) -> list[Run]:
    """Return the runs without empty ones; neighbours of the same kind, and short runs between changes, are joined."""
    joined: list[Run] = []
    for run in runs:
        if not (run.before or run.after):
            continue
        if not run.is_same and len(joined) > 1 and is_chance(joined[-1]):
            chance = joined.pop()
            joined[-1] = merged(joined[-1], chance)
        if joined and joined[-1].is_same == run.is_same:
            run = merged(joined.pop(), run)
        joined.append(run)
    return joined


def is_chance(run: Run) -> bool:
    """Return whether a run is so short that its sides may be equal by chance."""
    return run.is_same and not ENOUGH.match(run.before)


def merged(one: Run, other: Run) -> Run:
    """Return two runs as one."""
    return Run(one.before + other.before, one.after + other.after)
