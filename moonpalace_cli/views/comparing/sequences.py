"""Find the common elements of two sequences in bounded time.

The algorithm is by Eugene Myers, "An O(ND) Difference Algorithm and Its Variations" (1986): it follows the paths with
the fewest differences, so that it is fast for similar sequences. It gives up on dissimilar ones: a difference of
hundreds of elements is not useful.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

MAX_DISTANCE = 500
"""Maximum elements that are removed and added between similar sequences."""
ELEMENTS_IN_STEP = 8
"""Equal elements that are passed in the time of one step."""

type Link = tuple[int, int, int, Link | None]
"""A run of common elements: its start in both sequences, its length, and the previous run."""


@dataclass(slots=True)
class Budget:
    """The remaining steps of all comparisons together; a step takes less than a microsecond."""

    steps: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Parts of two sequences that are equal, or one of which has replaced the other."""

    before: slice
    after: slice
    is_same: bool


def stretches[T](before: Sequence[T], after: Sequence[T], budget: Budget) -> Iterator[Stretch]:
    """Yield the stretches of two sequences in order."""
    at_before = at_after = 0
    for start, other, length in runs(before, after, budget):
        if start > at_before or other > at_after:
            yield Stretch(slice(at_before, start), slice(at_after, other), is_same=False)
        at_before, at_after = start + length, other + length
        if length:
            yield Stretch(slice(start, at_before), slice(other, at_after), is_same=True)


def runs[T](before: Sequence[T], after: Sequence[T], budget: Budget) -> Iterator[tuple[int, int, int]]:
    """Yield the starts of runs of common elements in both sequences, and their lengths; the last run is empty."""
    shortest = min(len(before), len(after))
    head = next((place for place in range(shortest) if before[place] != after[place]), shortest)
    ends = range(1, shortest - head + 1)
    tail = next((end - 1 for end in ends if before[-end] != after[-end]), shortest - head)
    yield 0, 0, head
    inner = before[head : len(before) - tail], after[head : len(after) - tail]
    yield from ((head + start, head + other, length) for start, other, length in inner_runs(*inner, budget))
    yield len(before) - tail, len(after) - tail, tail
    yield len(before), len(after), 0


def inner_runs[T](before: Sequence[T], after: Sequence[T], budget: Budget) -> list[tuple[int, int, int]]:
    """Return the runs of common elements of sequences that begin and end differently; none if they are not similar."""
    if not before or not after or abs(len(before) - len(after)) > MAX_DISTANCE:
        return []
    # By the difference between the positions in both sequences: the farthest reachable position, and the runs up to
    # there.
    reached: dict[int, tuple[int, Link | None]] = {1: (0, None)}
    for distance in range(min(MAX_DISTANCE, len(before) + len(after)) + 1):
        for diagonal in range(-distance, distance + 1, 2):
            is_added = diagonal == -distance or (
                diagonal != distance and reached[diagonal - 1][0] < reached[diagonal + 1][0]
            )
            start, link = reached[diagonal + 1] if is_added else reached[diagonal - 1]
            start += not is_added
            place = start
            while place < len(before) and place - diagonal < len(after) and before[place] == after[place - diagonal]:
                place += 1
            if place > start:
                link = (start, start - diagonal, place - start, link)
            reached[diagonal] = (place, link)
            if place >= len(before) and place - diagonal >= len(after):
                return unlinked(link)
            budget.steps -= 1 + (place - start) // ELEMENTS_IN_STEP
        if budget.steps < 0:
            break
    return []


def unlinked(link: Link | None) -> list[tuple[int, int, int]]:
    """Return the runs of a chain, first one first."""
    result = []
    while link is not None:
        result.append(link[:3])
        link = link[3]
    return result[::-1]


@dataclass(frozen=True, slots=True)
class Pair[T]:
    """Two elements that are equal or one of which has replaced the other, or an element of only one side."""

    before: T | None
    after: T | None
    is_same: bool = False


def pairs[T](before: Sequence[T], after: Sequence[T], kind: Callable[[T], object], budget: Budget) -> Iterator[Pair[T]]:
    """Yield the elements of two sequences side by side; different elements are paired if they are of the same kind."""
    for part in stretches(before, after, budget):
        ours, theirs = before[part.before], after[part.after]
        if part.is_same:
            yield from (Pair(one, other, is_same=True) for one, other in zip(ours, theirs, strict=True))
            continue
        for alike in stretches([*map(kind, ours)], [*map(kind, theirs)], budget):
            removed, added = ours[alike.before], theirs[alike.after]
            if alike.is_same:
                yield from (Pair(one, other) for one, other in zip(removed, added, strict=True))
            else:
                yield from (Pair(one, None) for one in removed)
                yield from (Pair(None, one) for one in added)
