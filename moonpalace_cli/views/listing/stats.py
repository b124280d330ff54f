"""Statistics of calls: counts, failures, tokens, and percentiles of times."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from moonpalace_addons.store.state import State
from moonpalace_addons.views.durations import MILLISECOND, duration
from moonpalace_addons.views.money import amount
from moonpalace_addons.wire.json_text import Json
from moonpalace_addons.wire.status import FIRST_ERROR
from moonpalace_cli.calls.presentation import in_milliseconds
from moonpalace_cli.text.histogram import draw, steps
from moonpalace_cli.views.costs import DIGITS
from moonpalace_cli.views.listing.layout import fits, lay_out

if TYPE_CHECKING:
    from moonpalace_addons.store.read.statistics import Measured

PERCENTS = (50, 90, 99)
TIMES = ("ttft", "tpot", "latency")
"""Fields with percentiles."""
TOKENS = tuple(f"{name}_tokens" for name in ("prompt", "completion", "total", "cached", "reasoning"))
"""Fields that are summed."""
MEASURED = (*TOKENS, *TIMES, "cost", "cost_currency")
"""All fields that are read of each call."""
HEADERS = tuple(name.removesuffix("_tokens") for name in TOKENS)
UNITS = "kMGT"
ALL = "all calls"
BAR = 70
"""Maximum columns of a line of a histogram."""


@dataclass(slots=True)
class Group:
    """The sums of a group of calls; times are in nanoseconds, sorted at the end."""

    calls: int = 0
    in_flight: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    tokens: list[int] = field(default_factory=lambda: [0] * len(TOKENS))
    times: list[list[int]] = field(default_factory=lambda: [[] for _ in TIMES])
    costs: dict[str, float] = field(default_factory=dict)
    """The cost of the calls, by currency."""

    @property
    def errors(self) -> int:
        """Return the number of calls without a complete answer, with a status from 400 on, or with a stream error."""
        return self.failures.total()


def add_up(batches: Iterable[Sequence[Measured]]) -> dict[str | None, Group]:
    """Return a group for each model, largest first; None for calls without a model."""
    groups: dict[str | None, Group] = {}
    for batch in batches:
        by_model: dict[str | None, list[Measured]] = {}
        for call in batch:
            by_model.setdefault(call[0], []).append(call)
        for model, calls in by_model.items():
            add(groups.setdefault(model, Group()), calls)
    for group in groups.values():
        for times in group.times:
            times.sort()
    return ordered(groups)


def ordered(groups: Mapping[str | None, Group]) -> dict[str | None, Group]:
    """Return the groups of models, most calls first."""
    return dict(sorted(groups.items(), key=lambda item: (-item[1].calls, item[0] or "")))


def add(group: Group, calls: Sequence[Measured]) -> None:
    """Add calls column by column, which takes half the time of call by call; columns after `MEASURED` are ignored."""
    _, states, statuses, kinds, *numbers = zip(*calls, strict=True)
    columns = dict(zip(MEASURED, numbers, strict=False))
    group.calls += len(calls)
    for ending, count in Counter(zip(states, statuses, kinds, strict=True)).items():
        if ending[0] == State.IN_FLIGHT:
            group.in_flight += count
        elif failure := failure_of(*ending):
            group.failures[failure] += count
    for place, name in enumerate(TOKENS):
        group.tokens[place] += sum(filter(None, columns[name]))
    for times, name in zip(group.times, TIMES, strict=True):
        times += [number for number in columns[name] if number is not None]
    for cost, currency in zip(columns["cost"], columns["cost_currency"], strict=True):
        if currency is not None:
            group.costs[currency] = group.costs.get(currency, 0.0) + (cost or 0.0)


def failure_of(state: str, status: int | None, kind: str | None) -> str | None:
    """Return how a call failed: its state, else its status, else the kind of its error; None if it succeeded."""
    if state != State.COMPLETED:
        return state
    return str(status) if status is not None and status >= FIRST_ERROR else kind


def together(groups: Iterable[Group]) -> Group:
    """Return one group of all the calls."""
    total = Group()
    for group in groups:
        total.calls += group.calls
        total.in_flight += group.in_flight
        total.failures += group.failures
        total.tokens = [one + other for one, other in zip(total.tokens, group.tokens, strict=True)]
        for times, more in zip(total.times, group.times, strict=True):
            times += more
        for currency, cost in group.costs.items():
            total.costs[currency] = total.costs.get(currency, 0.0) + cost
    for times in total.times:
        times.sort()
    return total


def percentiles(times: Sequence[int]) -> list[int | None]:
    """Return for each of `PERCENTS` the smallest of the sorted times that this share does not exceed."""
    return [times[math.ceil(len(times) * percent / 100) - 1] if times else None for percent in PERCENTS]


def document(groups: Mapping[str | None, Group]) -> dict[str, Json]:
    """Return the statistics for JSON: of all calls, and under "models" of each model; times in milliseconds."""
    total = together(groups.values())
    histograms: dict[str, Json] = {
        f"{name}_histogram": [{"up_to_ms": step.up_to // MILLISECOND, "calls": step.calls} for step in steps(times)]
        for name, times in zip(TIMES, total.times, strict=True)
        if name != "tpot"
    }
    models: list[Json] = [{"model": model, **members(group)} for model, group in groups.items()]
    return {**members(total), **histograms, "models": models}


def records(groups: Mapping[str | None, Group]) -> Iterator[dict[str, Json]]:
    """Yield the statistics of each model; each percentile is a separate member, such as `latency_ms_p50`."""
    for model, group in groups.items():
        flat: dict[str, Json] = {"model": model}
        for name, value in members(group).items():
            if name.endswith("_ms") and isinstance(value, Mapping):
                flat |= {f"{name}_{each}": at for each, at in value.items()}
            else:
                flat[name] = value
        yield flat


def members(group: Group) -> dict[str, Json]:
    """Return the members of a group's JSON object."""
    times: dict[str, Json] = {
        f"{name}_ms": {
            f"p{percent}": in_milliseconds(at) for percent, at in zip(PERCENTS, percentiles(sorted_times), strict=True)
        }
        for name, sorted_times in zip(TIMES, group.times, strict=True)
    }
    return {
        "calls": group.calls,
        "in_flight": group.in_flight,
        "errors": group.errors,
        "failures": dict(group.failures.most_common()),
        **dict(zip(TOKENS, group.tokens, strict=True)),
        "costs": {currency: round(cost, DIGITS) for currency, cost in sorted(group.costs.items())},
        **times,
    }


def report(groups: Mapping[str | None, Group], width: int | None, *, blocks: bool) -> str:
    """Return the statistics for reading: two tables by model, the failures, and histograms of the times."""
    total = together(groups.values())
    rows = [(model or "(no model)", group) for model, group in groups.items()]
    if len(rows) != 1:
        rows.append((ALL, total))
    parts = [token_table(rows, width), time_table(rows, width)]
    if total.in_flight:
        parts.append(f"under way: {total.in_flight}")
    if total.failures:
        parts.append("errors: " + ", ".join(f"{name} {calls}" for name, calls in total.failures.most_common()))
    parts += [
        draw(
            f"{name}, {len(times)} {'call' if len(times) == 1 else 'calls'}",
            steps(times),
            min(width or BAR, BAR),
            blocks=blocks,
        )
        for name, times in zip(TIMES, total.times, strict=True)
        if times and name != "tpot"
    ]
    return "\n".join(parts)


def token_table(rows: Sequence[tuple[str, Group]], width: int | None) -> str:
    """Return the table of calls, errors, tokens and costs, if any are known.

    A narrow terminal gets rounded numbers, and no total.
    """
    has_costs = any(group.costs for _, group in rows)
    columns: tuple[str, ...] = ("model", "calls", "errors", *HEADERS, *(["cost"] if has_costs else []))
    costs = [[costs_of(group)] if has_costs else [] for _, group in rows]
    counted = [(name, (group.calls, group.errors, *group.tokens)) for name, group in rows]
    cells = [[name, *map(str, counts), *cost] for (name, counts), cost in zip(counted, costs, strict=True)]
    if width is not None and not fits(columns, cells, width):
        columns_kept = [place for place, name in enumerate(columns) if name != "total"]
        cells = [[name, *map(rounded, counts), *cost] for (name, counts), cost in zip(counted, costs, strict=True)]
        columns, cells = (
            tuple(columns[place] for place in columns_kept),
            [[row[place] for place in columns_kept] for row in cells],
        )
    return lay_out(columns, cells, width, right=columns[1:])


def costs_of(group: Group) -> str:
    """Return the cost of a group's calls, in each currency."""
    return "\n".join(f"{amount(cost)} {currency}" for currency, cost in sorted(group.costs.items()))


def time_table(rows: Sequence[tuple[str, Group]], width: int | None) -> str:
    """Return the table of percentiles."""
    cells = [[name, *map(triple, group.times)] for name, group in rows]
    headers = ("model", *(f"{name} p50 p90 p99" for name in TIMES))
    return lay_out(("model", *TIMES), cells, width, headers)


def rounded(number: int) -> str:
    """Format a number in at most five characters: 9999, 12.3k, 452M."""
    if number < 10_000:
        return str(number)
    power = min((len(str(number)) - 1) // 3, len(UNITS))
    scaled = number / 1000**power
    return f"{scaled:.{1 if scaled < 100 else 0}f}{UNITS[power - 1]}"


def triple(times: Sequence[int]) -> str:
    """Return the percentiles as one cell; empty without times."""
    return " ".join(f"{duration(at):>5}" for at in percentiles(times)) if times else ""
