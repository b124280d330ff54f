"""Statistics over time: the sums of `mpal list --stats`, in periods whose width depends on the calls."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from moonpalace_cli.views.listing import stats
from moonpalace_cli.views.listing.periods import WIDTHS, Width, starts, width_for
from moonpalace_cli.views.listing.stats import MEASURED, Group

if TYPE_CHECKING:
    from moonpalace_addons.store.read.statistics import Measured

FIELDS = (*MEASURED, "requested_at")
"""All fields that are read of each call; the time comes last."""

type Key = tuple[int, str | None]
"""The start of a period, in microseconds since the epoch, and a model."""


@dataclass(frozen=True, slots=True)
class Period:
    """The sums of a period; times are in microseconds since the epoch."""

    start: int
    end: int
    group: Group


@dataclass(frozen=True, slots=True)
class OverTime:
    """Sums of calls by period, earliest first and including empty ones, and by model, most calls first."""

    width: Width
    periods: Sequence[Period]
    models: Mapping[str | None, Group]


@dataclass(slots=True)
class Gathering:
    """Sum calls by period and model: in one pass, in any order, without all of them in memory.

    A call outside the existing periods adds more of them, or widens them; existing sums are moved into the new ones.
    """

    width: Width = WIDTHS[0]
    edges: list[int] = field(default_factory=list)
    """The starts of the periods, and the end of the last one."""
    groups: dict[Key, Group] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None

    def add(self, calls: Sequence[Measured]) -> None:
        """Add calls."""
        times = cast("list[int]", [call[-1] for call in calls])
        self._widen(min(times), max(times))
        by_key: defaultdict[Key, list[Measured]] = defaultdict(list)
        edges = self.edges
        for call, at in zip(calls, times, strict=True):
            by_key[edges[bisect_right(edges, at) - 1], call[0]].append(call)
        for key, some in by_key.items():
            stats.add(self.groups.setdefault(key, Group()), some)

    def _start(self, moment: int) -> int:
        return self.edges[bisect_right(self.edges, moment) - 1]

    def _widen(self, first: int, last: int) -> None:
        """Extend the periods to cover both times."""
        if self.first is not None and self.last is not None:
            first, last = min(first, self.first), max(last, self.last)
        if (first, last) == (self.first, self.last):
            return
        self.first, self.last = first, last
        before, self.width = self.width, width_for(first, last)
        self.edges = starts(self.width, first, last)
        if self.width != before:
            self.groups = merged(self.groups, lambda key: (self._start(key[0]), key[1]))

    def result(self) -> OverTime:
        """Return the sums of all calls so far."""
        for group in self.groups.values():
            for times in group.times:
                times.sort()  # merging sorted lists takes a third of the time
        by_start = merged(self.groups, lambda key: key[0])
        bounds = zip(self.edges, self.edges[1:], strict=False)
        periods = [Period(start, end, by_start.get(start) or Group()) for start, end in bounds]
        return OverTime(self.width, periods, stats.ordered(merged(self.groups, lambda key: key[1])))


def merged[K, N](groups: Mapping[K, Group], name: Callable[[K], N]) -> dict[N, Group]:
    """Return the merged groups that get the same name."""
    by_name: dict[N, list[Group]] = {}
    for key, group in groups.items():
        by_name.setdefault(name(key), []).append(group)
    return {each: stats.together(some) for each, some in by_name.items()}


def over_time(batches: Iterable[Sequence[Measured]]) -> OverTime:
    """Return the sums of calls, given as values of `FIELDS`."""
    gathering = Gathering()
    for batch in batches:
        gathering.add(batch)
    return gathering.result()
