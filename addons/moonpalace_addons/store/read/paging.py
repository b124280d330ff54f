"""Read calls page by page, starting at any call, in constant time however many there are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy import ColumnElement, Engine, select, tuple_

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.records.exchanges import COLUMNS, to_exchange
from moonpalace_addons.store.records.ordering import AGE, NEWEST_FIRST, OLDEST_FIRST
from moonpalace_addons.store.records.values import MAX_INT64, microseconds
from moonpalace_addons.store.schema import EXCHANGES

PLACE = re.compile(r"(-?[0-9]{1,19})-([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a call in the order of age; `text` and `read` convert it for the address of a page."""

    started_at: int
    row_id: int

    @classmethod
    def of(cls, call: Exchange) -> Self:
        """Return the position of a call."""
        return cls(microseconds(call.started_at), call.id)

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the position that a text stands for; None for any other text."""
        match = PLACE.fullmatch(text)
        numbers = [int(number) for number in match.groups()] if match else []
        return cls(*numbers) if numbers and max(map(abs, numbers)) <= MAX_INT64 else None

    @property
    def text(self) -> str:
        """The position as text."""
        return f"{self.started_at}-{self.row_id}"


@dataclass(frozen=True, slots=True)
class Page:
    """Some calls, newest first, and whether there are more on either side."""

    calls: Sequence[Exchange]
    has_newer: bool
    has_older: bool


def page(
    engine: Engine,
    limit: int,
    *,
    before: Place | None = None,
    after: Place | None = None,
    where: ColumnElement[bool] | None = None,
) -> Page:
    """Return the newest matching calls of those older than `before`, or the next ones newer than `after`.

    Whether there are calls on the side of the given position is not checked: the caller came from there.
    """
    calls = some(engine, limit + 1, before=before, after=after, where=where)
    more = len(calls) > limit
    if after is not None:
        return Page(calls[:limit][::-1], more, has_older=True)
    return Page(calls[:limit], has_newer=before is not None, has_older=more)


def some(
    engine: Engine,
    limit: int,
    *,
    before: Place | None = None,
    after: Place | None = None,
    where: ColumnElement[bool] | None = None,
) -> list[Exchange]:
    """Return at most `limit` calls: the newest first, or those after a position, oldest first."""
    query = select(*COLUMNS).limit(limit).order_by(*(NEWEST_FIRST if after is None else OLDEST_FIRST))
    if where is not None:
        query = query.where(where)
    # The comparison of the time alone is redundant, but lets every database use the index.
    if before is not None:
        query = query.where(EXCHANGES.c.started_at <= before.started_at)
        query = query.where(tuple_(*AGE) < tuple_(before.started_at, before.row_id))
    if after is not None:
        query = query.where(EXCHANGES.c.started_at >= after.started_at)
        query = query.where(tuple_(*AGE) > tuple_(after.started_at, after.row_id))
    with engine.connect() as connection:
        return [to_exchange(row) for row in connection.execute(query).mappings()]
