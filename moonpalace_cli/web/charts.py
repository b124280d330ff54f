"""Draw sums of calls over time as charts of bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moonpalace_addons.views.call_line import amount as short
from moonpalace_addons.views.durations import duration
from moonpalace_addons.views.money import price
from moonpalace_cli.views.listing.periods import DAY, shown
from moonpalace_cli.views.listing.stats import PERCENTS
from moonpalace_cli.web.sums import found_times, percent_text, tokens_of

if TYPE_CHECKING:
    from moonpalace_cli.views.listing.over_time import OverTime, Period
    from moonpalace_cli.views.listing.periods import Width
    from moonpalace_cli.views.listing.stats import Group

HEIGHT = 100
"""Units of a chart's height, which a page stretches, as it does the width."""
SLOT = 10
"""Units of the width that a period has."""
MIN_SLOTS = 24
"""Slots of a chart, at least: few bars are not as wide as the page."""
MIN_VISIBLE = 1.5
MAX_CURRENCIES = 4
TICKS = 4
LONGEST_WITH_DAYS = 7 * DAY
"""The longest width of which the day of a start matters, and not its year."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar, in units from the top."""

    style: str
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: where its slot begins, what it says when it is pointed at, and the calls to which it leads."""

    left: int
    parts: Sequence[Part]
    period: str
    values: Sequence[tuple[str, str]]
    address: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars with a common scale that ends at `top`; `legend` are the styles and names of the parts, lowest first."""

    name: str
    top: str
    bars: Sequence[Bar]
    legend: Sequence[tuple[str, str]]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """A time below the charts; its place is percent of the width."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What a chart shows of the calls of a period: parts that stand on each other, each with a style and a name."""

    name: str
    legend: Sequence[tuple[str, str]]
    parts: Callable[[Group], Sequence[float]]
    """The heights of the parts."""
    said: Callable[[Group], Sequence[str]]
    """What each part stands for, in words."""
    text: Callable[[float], str]
    """The height of a whole bar, in words."""
    remark: str = ""
    top: float | None = None
    """The end of the scale; by default the highest bar's."""


def kinds(group: Group) -> Iterator[Kind]:
    """Yield the charts that calls with these sums can have."""
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
    """Return the chart of what calls cost in a currency."""
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
        found = found_times(group, field)
        return [later - earlier for earlier, later in zip([0, *found], found, strict=False)]

    return Kind(
        name,
        [(f"p{percent}", f"p{percent}") for percent in PERCENTS],
        parts,
        lambda each: [duration(at) for at in found_times(each, field)],
        lambda value: duration(round(value)),
    )


def charts(found: OverTime, whole: Group, address: Callable[[Period], str]) -> Iterator[Chart]:
    """Yield the charts of calls over time; `address` is where the calls of a period are."""
    places = [(at, period, address(period)) for at, period in enumerate(found.periods) if period.group.calls]
    for kind in kinds(whole):
        heights = {at: kind.parts(period.group) for at, period, _ in places}
        top = kind.top or max((sum(each) for each in heights.values()), default=0.0) or 1.0
        bars = [
            Bar(
                SLOT * at,
                list(stacked(kind, heights[at], top)),
                shown(period.start, found.width),
                [(name, said) for (_, name), said in zip(kind.legend, kind.said(period.group), strict=False) if said],
                where,
            )
            for at, period, where in places
        ]
        yield Chart(kind.name, kind.text(top), bars, kind.legend if len(kind.legend) > 1 else (), kind.remark)


def stacked(kind: Kind, heights: Sequence[float], top: float) -> Iterator[Part]:
    """Yield the parts of a bar, the lowest first; what is more than nothing can be seen."""
    bottom = float(HEIGHT)
    for (style, _), value in zip(kind.legend, heights, strict=False):
        if value > 0:
            height = max(MIN_VISIBLE, HEIGHT * value / top)
            bottom -= height
            yield Part(style, round(max(0.0, bottom), 2), round(height, 2))


def slots(found: OverTime) -> int:
    """Return the number of slots that a chart is wide."""
    return max(MIN_SLOTS, len(found.periods))


def ticks(found: OverTime) -> list[Tick]:
    """Return the times that stand below each chart, as far apart as their texts need."""
    whole = slots(found)
    step = -(-whole // TICKS)
    return [
        Tick(100 * at / whole, tick_text(found.periods[at].start, found.width))
        for at in range(0, len(found.periods), step)
    ]


def tick_text(start: int, width: Width) -> str:
    """Return the start of a period in few characters."""
    text = shown(start, width)
    return text[: len("2026-11")] if width.seconds > LONGEST_WITH_DAYS else text[len("2026-") :]
