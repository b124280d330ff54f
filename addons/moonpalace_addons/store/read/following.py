"""Follow a store: poll for calls that have ended.

Calls end in any order, and on PostgreSQL a call may become visible after one with a greater id. The follower therefore
keeps the greatest id seen, the calls in flight, and the ids below the greatest that were missing. A poll costs a few
lookups by primary key; on SQLite it costs one pragma while nothing is written.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import batched
from types import TracebackType
from typing import Self

from sqlalchemy import ColumnElement, Engine, and_, func, or_, select

from moonpalace_addons.store.records.exchanges import COLUMNS, Exchange, latest, matching, to_exchange
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.state import State

MISSING_TIMEOUT = 60.0
"""Seconds after which a skipped id is assumed to have been rolled back."""
LOOK_BACK = 200
"""Ids below the greatest at the start that may still become visible, and the maximum that one poll adds."""
IDS_PER_QUERY = 500
"""Ids per query."""

STATES = select(EXCHANGES.c.id, EXCHANGES.c.state)


class Follower:
    """Poll one store for ended calls; call `close` at the end."""

    def __init__(
        self,
        engine: Engine,
        *,
        chat_only: bool = False,
        where: ColumnElement[bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._where = and_(EXCHANGES.c.state != State.IN_FLIGHT, *matching(chat_only=chat_only, where=where))
        self._clock = clock
        self._connection = engine.connect()
        self._version: int | None = None
        self._in_flight: set[int] = set()
        self._missing: dict[int, float] = {}
        self._top = 0
        self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Return the connection to the pool."""
        self._connection.close()

    def earlier(self, limit: int | None) -> list[Exchange]:
        """Return the newest `limit` calls (None: all) that had ended at the start, oldest first; `ended` omits them."""
        open_ids = self._in_flight | self._missing.keys()
        newest = None if limit is None else limit + len(open_ids)
        exchanges = latest(self._engine, limit=newest, where=and_(self._where, EXCHANGES.c.id <= self._top))
        return [exchange for exchange in exchanges if exchange.id not in open_ids][:limit][::-1]

    def ended(self) -> list[Exchange]:
        """Return the calls that ended since the last poll, in the order in which they ended."""
        with self._connection.begin():
            if not self._has_changed():
                return []
            over = self._poll()
            exchanges = [exchange for ids in batched(over, IDS_PER_QUERY) for exchange in self._read(ids)]
        return sorted(exchanges, key=lambda exchange: (end_of(exchange), exchange.id))

    def _begin(self) -> None:
        with self._connection.begin():
            self._has_changed()
            self._top = self._connection.execute(select(func.max(EXCHANGES.c.id))).scalar() or 0
            bottom = max(0, self._top - LOOK_BACK)
            # One statement for both: a call that becomes visible between two would be in neither set.
            recent = or_(EXCHANGES.c.state == State.IN_FLIGHT, EXCHANGES.c.id > bottom)
            there = {id_: state for id_, state in self._states(recent).items() if id_ <= self._top}
            self._in_flight = {id_ for id_, state in there.items() if state == State.IN_FLIGHT}
            self._add_missing(set(range(bottom + 1, self._top + 1)) - there.keys())

    def _read(self, ids: Sequence[int]) -> list[Exchange]:
        query = select(*COLUMNS).where(EXCHANGES.c.id.in_(ids), self._where)
        return [to_exchange(row) for row in self._connection.execute(query).mappings()]

    def _poll(self) -> list[int]:
        """Return the ids of the calls that have ended since the last poll."""
        new = self._states(EXCHANGES.c.id > self._top)
        watched = sorted(self._in_flight | self._missing.keys())
        old = dict(
            pair for ids in batched(watched, IDS_PER_QUERY) for pair in self._states(EXCHANGES.c.id.in_(ids)).items()
        )
        self._in_flight &= old.keys()  # missing ones were deleted
        over = []
        for id_, state in (old | new).items():
            self._missing.pop(id_, None)
            if state == State.IN_FLIGHT:
                self._in_flight.add(id_)
            else:
                self._in_flight.discard(id_)
                over.append(id_)
        top = max(new, default=self._top)
        self._add_missing(set(range(max(self._top + 1, top - LOOK_BACK), top)) - new.keys())
        self._top = top
        return over

    def _states(self, *where: ColumnElement[bool]) -> dict[int, str]:
        return {row.id: row.state for row in self._connection.execute(STATES.where(*where))}

    def _add_missing(self, ids: Iterable[int]) -> None:
        now = self._clock()
        self._missing = {id_: since for id_, since in self._missing.items() if now - since < MISSING_TIMEOUT}
        self._missing.update(dict.fromkeys(ids, now))

    def _has_changed(self) -> bool:
        if self._connection.dialect.name != "sqlite":
            return True
        version: int = self._connection.exec_driver_sql("PRAGMA data_version").scalar_one()
        self._version, before = version, self._version
        return version != before


def end_of(exchange: Exchange) -> float:
    """Return when the call ended, in seconds since the epoch."""
    return exchange.started_at.timestamp() + (exchange.latency or 0) / 1e9
