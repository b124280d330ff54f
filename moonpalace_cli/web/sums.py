"""The sums of groups of calls as lines of a table, by model or by period."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from moonpalace_addons.views.durations import duration
from moonpalace_addons.views.money import price
from moonpalace_cli.views.listing.stats import TIMES, TOKENS, percentiles

if TYPE_CHECKING:
    from moonpalace_cli.views.listing.stats import Group


class Tokens(NamedTuple):
    """The tokens of calls: input that came from a cache, other input, and output."""

    cached: int
    fresh: int
    output: int

    @property
    def percent_cached(self) -> float | None:
        """Percent of the input that came from a cache; None without input."""
        whole = self.cached + self.fresh
        return 100 * self.cached / whole if whole else None


def tokens_of(group: Group) -> Tokens:
    """Return the tokens of a group."""
    found = dict(zip(TOKENS, group.tokens, strict=True))
    cached = min(found["cached_tokens"], found["prompt_tokens"])
    return Tokens(cached, found["prompt_tokens"] - cached, found["completion_tokens"])


@dataclass(frozen=True, slots=True)
class Cell:
    """A number of a line, and the length of its bar from 0 to 1, None without a bar."""

    name: str
    text: str
    share: float | None = None
    address: str = ""
    """Where its calls are, if they are not all of the line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table: its calls, and how many of which kind there are."""

    name: str
    address: str
    cells: Sequence[Cell]


class Named(NamedTuple):
    """A group of calls with its name, where they are, and where those are that failed."""

    name: str
    group: Group
    address: str
    failed: str


def lines(groups: Sequence[Named]) -> Iterator[Line]:
    """Yield a line for each group; bars compare it to the others."""
    calls = max((each.group.calls for each in groups), default=0)
    inputs = max((sum(tokens_of(each.group)[:2]) for each in groups), default=0)
    for each in groups:
        group, tokens = each.group, tokens_of(each.group)
        percent = tokens.percent_cached
        cells = [
            Cell("calls", f"{group.calls:,}", share(group.calls, calls)),
            Cell("errors", f"{group.errors:,}", share(group.errors, group.calls), each.failed if group.errors else ""),
            Cell("input", f"{tokens.cached + tokens.fresh:,}", share(tokens.cached + tokens.fresh, inputs)),
            Cell("cached", percent_text(percent), None if percent is None else percent / 100),
            Cell("output", f"{tokens.output:,}"),
            Cell("cost", costs(group)),
            *(Cell(name, times(group, field)) for name, field in (("first token", "ttft"), ("total", "latency"))),
        ]
        yield Line(each.name, each.address, cells)


def share(value: float, most: float) -> float:
    """Return the length of a bar."""
    return value / most if most else 0.0


def percent_text(percent: float | None) -> str:
    """Return a share in words, empty for an unknown one."""
    return "" if percent is None else f"{percent:.0f} %"


def costs(group: Group) -> str:
    """Return the cost of calls, in each currency."""
    return ", ".join(price(cost, currency) for currency, cost in sorted(group.costs.items()))


def found_times(group: Group, name: str) -> list[int]:
    """Return the percentiles of one of the times of calls, none if it is not known of any."""
    times = group.times[TIMES.index(name)]
    return [at for at in percentiles(times) if at is not None]


def times(group: Group, name: str) -> str:
    """Return the percentiles of one of the times of calls in words."""
    return " / ".join(map(duration, found_times(group, name)))
