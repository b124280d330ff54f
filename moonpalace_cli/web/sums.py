"""Statistics of groups of calls as table rows, by model or by period."""

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
    """The tokens of calls: cached input, other input, and output."""

    cached: int
    fresh: int
    output: int

    @property
    def percent_cached(self) -> float | None:
        """The percentage of the input that was cached; None without input."""
        total = self.cached + self.fresh
        return 100 * self.cached / total if total else None


def tokens_of(group: Group) -> Tokens:
    """Return the tokens of a group."""
    tokens = dict(zip(TOKENS, group.tokens, strict=True))
    cached = min(tokens["cached_tokens"], tokens["prompt_tokens"])
    return Tokens(cached, tokens["prompt_tokens"] - cached, tokens["completion_tokens"])


@dataclass(frozen=True, slots=True)
class Cell:
    """A number in a row, and the length of its bar from 0 to 1, or None."""

    name: str
    text: str
    share: float | None = None
    address: str = ""
    """The address of its calls, unless these are all calls of the row."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table: calls, and how many of which kind there are."""

    name: str
    address: str
    cells: Sequence[Cell]


class Named(NamedTuple):
    """A group of calls with its name, their address, and the address of those that failed."""

    name: str
    group: Group
    address: str
    failed: str


def lines(groups: Sequence[Named]) -> Iterator[Line]:
    """Yield a row for each group; bars are relative to the other rows."""
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
    """Format a percentage; empty if it is unknown."""
    return "" if percent is None else f"{percent:.0f} %"


def costs(group: Group) -> str:
    """Return the cost of calls in each currency."""
    return ", ".join(price(cost, currency) for currency, cost in sorted(group.costs.items()))


def found_times(group: Group, name: str) -> list[int]:
    """Return the percentiles of one of the times of calls; none if it is unknown for all of them."""
    times = group.times[TIMES.index(name)]
    return [at for at in percentiles(times) if at is not None]


def times(group: Group, name: str) -> str:
    """Describe the percentiles of one of the times of calls."""
    return " / ".join(map(duration, found_times(group, name)))
