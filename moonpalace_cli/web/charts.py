"""Draw statistics over time as bar charts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moonpalace_addons.views.call_line import amount as short
from moonpalace_addons.views.durations import duration
from moonpalace_addons.views.money import price
from moonpalace_cli.views.listing.periods import DAY, start_text
from moonpalace_cli.views.listing.stats import PERCENTS
from moonpalace_cli.web.sums import found_times, percent_text, tokens_of

if TYPE_CHECKING:
    from moonpalace_cli.views.listing.over_time import OverTime, Period
    from moonpalace_cli.views.listing.periods import Width
    from moonpalace_cli.views.listing.stats import Group

HEIGHT = 100
"""Units of a chart's height; a page stretches it, as well as the width."""
SLOT = 10
"""Units of width for each period."""
MIN_SLOTS = 24
"""Minimum slots of a chart: a few bars do not fill the width of the page."""
MIN_VISIBLE = 1.5
MAX_CURRENCIES = 4
TICKS = 4
LONGEST_WITH_DAYS = 7 * DAY
"""The longest width for which the day of a start is shown, rather than its year."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar, in units from the top."""

    style: str
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: where its slot begins, its tooltip, and the address of its calls."""

    left: int
    parts: Sequence[Part]
    period: str
    values: Sequence[tuple[str, str]]
    address: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars with a common scale that ends at `top`; `legend` has the styles and names of the parts, lowest first."""

    name: str
    top: str
    bars: Sequence[Bar]
    legend: Sequence[tuple[str, str]]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """A time below the charts; its position is percent of the width."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What a chart shows of the calls of a period: stacked parts, each with a style and a name."""

    name: str
    legend: Sequence[tuple[str, str]]
    parts: Callable[[Group], Sequence[float]]
    """The heights of the parts."""
    details: Callable[[Group], Sequence[str]]
    """The descriptions of the parts."""
    text: Callable[[float], str]
    """The description of the whole bar."""
    remark: str = ""
    top: float | None = None
    """The end of the scale; by default the height of the highest bar."""


def kinds(group: Group) -> Iterator[Kind]:
    """Yield the charts for calls with these sums."""
    yield Kind(
        "calls",
        (("in", "calls"), ("bad", "errors")),
        lambda each: (each.calls - each.errors, each.errors),
        lambda each: (f"{each.calls:,}", f"{each.errors:,}"),
        lambda value: f"{value:,.0f}",
    )
    if sum(tokens_of(group)):
        yield Kind(
            "tokens",
            (("cached", "cached input"), ("in", "other input"), ("out", "output")),
            tokens_of,
            lambda each: [f"{number:,}" for number in tokens_of(each)],
            lambda value: short(round(value)),
        )
    for currency in sorted(group.costs)[:MAX_CURRENCIES]:
        yield cost_kind(currency)
    if tokens_of(group).percent_cached is not None:
        yield Kind(
            "cached input",
            (("cached", "cached input"),),
            lambda each: (tokens_of(each).percent_cached or 0.0,),
            lambda each: (percent_text(tokens_of(each).percent_cached),),
            percent_text,
            top=100.0,
        )
    for name, field in (("first token", "ttft"), ("total", "latency")):
        if found_times(group, field):
            yield time_kind(name, field)


def cost_kind(currency: str) -> Kind:
    """Return the chart of the cost of calls in a currency."""
    return Kind(
        "cost",
        (("in", "cost"),),
        lambda each: (each.costs.get(currency, 0.0),),
        lambda each: (price(each.costs.get(currency, 0.0), currency),),
        lambda value: price(value, currency),
        currency,
    )


def time_kind(name: str, field: str) -> Kind:
    """Return the chart of the percentiles of one of the times of calls."""

    def parts(group: Group) -> list[float]:
        percentiles = found_times(group, field)
        return [later - earlier for earlier, later in zip([0, *percentiles], percentiles, strict=False)]

    return Kind(
        name,
        [(f"p{percent}", f"p{percent}") for percent in PERCENTS],
        parts,
        lambda each: [duration(at) for at in found_times(each, field)],
        lambda value: duration(round(value)),
    )


def charts(sums: OverTime, whole: Group, address: Callable[[Period], str]) -> Iterator[Chart]:
    """Yield the charts of calls over time; `address` returns the address of a period's calls."""
    places = [(at, period, address(period)) for at, period in enumerate(sums.periods) if period.group.calls]
    for kind in kinds(whole):
        heights = {at: kind.parts(period.group) for at, period, _ in places}
        top = kind.top or max((sum(each) for each in heights.values()), default=0.0) or 1.0
        bars = [
            Bar(
                SLOT * at,
                list(stacked(kind, heights[at], top)),
                start_text(period.start, sums.width),
                [
                    (name, detail)
                    for (_, name), detail in zip(kind.legend, kind.details(period.group), strict=False)
                    if detail
                ],
                where,
            )
            for at, period, where in places
        ]
        yield Chart(kind.name, kind.text(top), bars, kind.legend if len(kind.legend) > 1 else (), kind.remark)


def stacked(kind: Kind, heights: Sequence[float], top: float) -> Iterator[Part]:
    """Yield the parts of a bar, lowest first; any positive part is visible."""
    bottom = float(HEIGHT)
    for (style, _), value in zip(kind.legend, heights, strict=False):
        if value > 0:
            height = max(MIN_VISIBLE, HEIGHT * value / top)
            bottom -= height
            yield Part(style, round(max(0.0, bottom), 2), round(height, 2))


def slots(sums: OverTime) -> int:
    """Return the width of a chart in slots."""
    return max(MIN_SLOTS, len(sums.periods))


def ticks(sums: OverTime) -> list[Tick]:
    """Return the times below each chart, as far apart as their texts require."""
    count = slots(sums)
    step = -(-count // TICKS)
    return [
        Tick(100 * at / count, tick_text(sums.periods[at].start, sums.width))
        for at in range(0, len(sums.periods), step)
    ]


def tick_text(start: int, width: Width) -> str:
    """Return the start of a period in few characters."""
    text = start_text(start, width)
    return text[: len("2026-11")] if width.seconds > LONGEST_WITH_DAYS else text[len("2026-") :]
