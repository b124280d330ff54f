"""Statistics of the calls that match a filter, over time and by model, at `/overview`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Engine

from moonpalace_addons.store.query.condition import condition
from moonpalace_addons.store.query.errors import PredicateError
from moonpalace_addons.store.read.statistics import measured
from moonpalace_cli.flags import filters
from moonpalace_cli.views.listing import stats
from moonpalace_cli.views.listing.over_time import FIELDS, OverTime, Period, over_time
from moonpalace_cli.views.listing.periods import local, start_text
from moonpalace_cli.views.listing.stats import Group
from moonpalace_cli.web.buttons import AND, Button, buttons, enclosed, model_buttons
from moonpalace_cli.web.charts import Chart, Tick, charts, slots, ticks
from moonpalace_cli.web.page import Page
from moonpalace_cli.web.pages.list_page import address, suffix
from moonpalace_cli.web.sums import Line, Named, lines
from moonpalace_cli.web.time_limit import limited

MAX_FAILURES = 8
"""Maximum kinds of failures that are listed."""
MAX_MODELS = 50
"""Maximum models in the table: clients may use as many as they like."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The data of the page; without calls, only the filter."""

    buttons: Sequence[Button]
    whole: Line | None = None
    failures: Sequence[tuple[str, int]] = ()
    models: Sequence[Line] = ()
    others: int = 0
    """The number of further models."""
    periods: Sequence[Line] = ()
    charts: Sequence[Chart] = ()
    ticks: Sequence[Tick] = ()
    slots: int = 0
    width: str = ""
    mistake: PredicateError | None = None


class OverviewPage(Page):
    """Show statistics of calls."""

    async def get(self) -> None:
        """Answer with the page, or with its numbers."""
        query, engine = self.argument("q"), self.console.engine
        if self.wants_json:
            self.give_json(await self.read(lambda: document(added_up(engine, query), query)))
            return
        overview = await self.read(lambda: overview_of(engine, query))
        if overview.mistake is not None:
            self.set_status(400)
        self.give_page("overview.html", section="overview", overview=overview, query=query, suffix=suffix(query))


def added_up(engine: Engine, query: str) -> OverTime:
    """Return the sums of the calls that match a predicate; raise PredicateError for an invalid predicate."""
    where = condition([query], engine) if query.strip() else None
    return over_time(limited(measured(engine, FIELDS, where=where)))


def overview_of(engine: Engine, query: str) -> Overview:
    """Return the data of the page; a mistake in the predicate is shown at its position."""
    try:
        sums = added_up(engine, query)
    except PredicateError as error:
        return Overview(list(buttons("", [])), mistake=error)
    models = sums.models
    offered = [*buttons(query, []), *model_buttons(query, models)]
    if not models:
        return Overview(offered)
    narrow = Narrowing(query)
    whole = stats.together(models.values())
    by_model = [
        narrow.named(name or "—", group, model_predicate(name)) for name, group in islice(models.items(), MAX_MODELS)
    ]
    by_period = [
        narrow.named(start_text(each.start, sums.width), each.group, period_predicate(each))
        for each in reversed(sums.periods)
        if each.group.calls
    ]
    return Overview(
        offered,
        next(lines([narrow.named("", whole)])),
        whole.failures.most_common(MAX_FAILURES),
        list(lines(by_model)),
        max(0, len(models) - MAX_MODELS),
        list(lines(by_period)),
        list(charts(sums, whole, lambda period: narrow.address(period_predicate(period)))),
        ticks(sums),
        slots(sums),
        sums.width.name,
    )


class Narrowing:
    """Addresses of calls that match a filter and another predicate."""

    def __init__(self, query: str) -> None:
        self._kept = enclosed(query.strip())
        self._failed = enclosed(next(filters.failed(True)))

    def address(self, *predicates: str) -> str:
        """Return the address of the list of matching calls that also meet these predicates."""
        return address(AND.join(filter(None, [self._kept, *predicates])))

    def named(self, name: str, group: Group, predicate: str = "") -> Named:
        """Return a group of calls with its addresses."""
        return Named(name, group, self.address(predicate), self.address(predicate, self._failed))


def model_predicate(name: str | None) -> str:
    """Return the predicate for the calls of a model."""
    return "!model" if name is None else f"model == {filters.quoted(name)}"


def period_predicate(period: Period) -> str:
    """Return the predicate for the calls of a period."""
    start, end = (local(at).isoformat(timespec="minutes") for at in (period.start, period.end))
    return f"requested_at >= '{start}'{AND}requested_at < '{end}'"


def document(sums: OverTime, query: str) -> dict[str, object]:
    """Return the data for programs: as in `mpal list --stats --json`, also for each period, with its address."""
    narrow = Narrowing(query)
    periods = [
        {
            "start": local(each.start).isoformat(),
            "end": local(each.end).isoformat(),
            "address": narrow.address(period_predicate(each)),
            **stats.members(each.group),
        }
        for each in sums.periods
    ]
    width = sums.width.name if periods else None
    return {**stats.document(sums.models), "width": width, "periods": periods}
