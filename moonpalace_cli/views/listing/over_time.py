"""Statistics of calls over time: the same sums as `mpal list --stats`, in periods whose width follows the calls."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
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
    """The sums of a period; moments are in microseconds since the epoch."""

    start: int
    end: int
    group: Group


@dataclass(slots=True)
class OverTime:
    """Sums by period and model: read once, in any order, without all calls in memory.

    A call outside the periods so far makes more of them, or wider ones, into which the sums of those before go.
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
        gathered: dict[Key, list[Measured]] = {}
        for call, at in zip(calls, times, strict=True):
            gathered.setdefault((self._start(at), call[0]), []).append(call)
        for key, some in gathered.items():
            stats.add(self.groups.setdefault(key, Group()), some)

    def _start(self, moment: int) -> int:
        return self.edges[bisect_right(self.edges, moment) - 1]

    def _widen(self, first: int, last: int) -> None:
        """Have periods from the first to the last moment."""
        if self.first is not None and self.last is not None:
            first, last = min(first, self.first), max(last, self.last)
        if (first, last) == (self.first, self.last):
            return
        self.first, self.last = first, last
        before, self.width = self.width, width_for(first, last)
        self.edges = starts(self.width, first, last)
        if self.width != before:
            merged: dict[Key, list[Group]] = {}
            for (start, model), group in self.groups.items():
                merged.setdefault((self._start(start), model), []).append(group)
            self.groups = {key: stats.together(groups) for key, groups in merged.items()}

    @property
    def periods(self) -> list[Period]:
        """Return all periods, the earliest first; those without calls too."""
        found: dict[int, list[Group]] = {}
        for (start, _), group in self.groups.items():
            found.setdefault(start, []).append(group)
        bounds = zip(self.edges, self.edges[1:], strict=False)
        return [Period(start, end, stats.together(found.get(start, ()))) for start, end in bounds]

    @property
    def models(self) -> dict[str | None, Group]:
        """Return the sums of each model, that of most calls first."""
        found: dict[str | None, list[Group]] = {}
        for (_, model), group in self.groups.items():
            found.setdefault(model, []).append(group)
        return stats.ordered({model: stats.together(groups) for model, groups in found.items()})


def over_time(batches: Iterable[Sequence[Measured]]) -> OverTime:
    """Return the sums of calls whose numbers are `FIELDS`."""
    found = OverTime()
    for batch in batches:
        found.add(batch)
    return found
