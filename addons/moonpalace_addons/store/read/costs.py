"""Sum the cost of calls, grouped by a property."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, Engine, Row, func, literal_column, select

from moonpalace_addons.store.fields import FIELDS
from moonpalace_addons.store.records.expressions import expression
from moonpalace_addons.store.schema import EXCHANGES, TAGS

type By = Literal["model", "day", "tag", "session", "endpoint"]

QUARTER_HOUR = 900_000_000
"""Microseconds: all offsets of time zones are multiples of it, so local days can be summed from such parts.
"""
SUMS = ("prompt_tokens", "cached_tokens", "completion_tokens")
AMOUNTS = ("cost_input", "cost_cached", "cost_output", "cost", "cost_saved")


@dataclass(slots=True)
class Spent:
    """The cost of a group of calls in one currency, or of those whose cost is unknown if there is no currency."""

    name: str | None
    currency: str | None
    calls: int = 0
    with_tokens: int = 0
    """Calls whose answers report the number of prompt tokens: without it they have no price."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost_input: float = 0.0
    cost_cached: float = 0.0
    cost_output: float = 0.0
    cost: float = 0.0
    cost_saved: float = 0.0

    def add(self, other: "Spent") -> None:
        """Add the cost of other calls."""
        for name in ("calls", "with_tokens", *SUMS, *AMOUNTS):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def spent(engine: Engine, by: By, where: ColumnElement[bool] | None = None) -> list[Spent]:
    """Return the cost of matching calls, grouped by name and currency; days in order, else the most expensive first.

    A call with several tags counts under each of them.
    """
    group = GROUPS[by]
    # No sums of integers: a single server that reports 2**63 - 1 tokens would make SQLite fail.
    sums = [func.sum(expression(FIELDS[name]) * 1.0) for name in (*SUMS, *AMOUNTS)]
    counts = func.count(), func.count(EXCHANGES.c.prompt_tokens)
    query = select(group, EXCHANGES.c.cost_currency, *counts, *sums).group_by(group, EXCHANGES.c.cost_currency)
    if by == "tag":
        query = query.select_from(EXCHANGES.outerjoin(TAGS, TAGS.c.exchange_id == EXCHANGES.c.id))
    if where is not None:
        query = query.where(where)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    groups = sorted(grouped(rows, by), key=dearest)
    return sorted(groups, key=lambda each: each.name or "") if by == "day" else groups


def grouped(rows: Sequence[Row[Any]], by: By) -> list[Spent]:
    """Return the groups of rows; quarters of an hour are combined into days."""
    groups: dict[tuple[str | None, str | None], Spent] = {}
    for row in rows:
        name, currency, calls, with_tokens, *numbers = tuple(row)
        label = day(cast(int, name)) if by == "day" else name
        tokens = [int(number or 0) for number in numbers[: len(SUMS)]]
        amounts = [float(number or 0) for number in numbers[len(SUMS) :]]
        group = groups.setdefault((label, currency), Spent(label, currency))
        group.add(Spent(label, currency, calls, with_tokens, *tokens, *amounts))
    return list(groups.values())


def day(quarter: int) -> str:
    """Return the local date of a quarter of an hour since the epoch."""
    return datetime.fromtimestamp(quarter * QUARTER_HOUR / 1e6, UTC).astimezone().date().isoformat()


def dearest(group: Spent) -> tuple[bool, str, float, str]:
    """Return the sort key of a group: currency, then descending cost; groups without a cost come last."""
    return group.currency is None, group.currency or "", -group.cost, group.name or ""


# A label has no parameters, which PostgreSQL would not recognise as the same in SELECT and GROUP BY.
GROUPS: dict[By, ColumnElement[Any]] = {
    "model": expression(FIELDS["model"]),
    "day": literal_column(f"(exchanges.started_at / {QUARTER_HOUR})"),
    "tag": TAGS.c.tag,
    "session": EXCHANGES.c.session,
    "endpoint": literal_column("coalesce(exchanges.endpoint_name, exchanges.endpoint)"),
}
