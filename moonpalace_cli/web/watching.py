"""Notify open pages when the store has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.state import State

INTERVAL = 0.5
"""Seconds between checks of the store while a page is open; on SQLite a check costs one pragma."""

IN_FLIGHT = select(func.count()).where(EXCHANGES.c.state == State.IN_FLIGHT)
NEWEST = select(func.max(EXCHANGES.c.id))


class Watcher:
    """Check the store while somebody is waiting, and wake the waiters when it has changed."""

    def __init__(self, engine: Engine, executor: Executor) -> None:
        self._engine = engine
        self._executor = executor
        self._connection: Connection | None = None
        self._waiting: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None
        self.is_closed = False
        """Whether waiting is over."""

    async def close(self) -> None:
        """Wake all waiters, which then leave, and return once they have left."""
        self.is_closed = True
        for changed in self._waiting:
            changed.set()
        if self._task is not None:
            await self._task

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set initially, and whenever the store has changed; the waiter clears it."""
        changed = asyncio.Event()
        self._waiting.add(changed)
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        else:
            changed.set()  # the store may have changed since the page was rendered
        try:
            yield changed
        finally:
            self._waiting.discard(changed)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        last_state: object = None
        try:
            while self._waiting:
                state = await loop.run_in_executor(self._executor, self._state)
                if state != last_state:
                    last_state = state
                    for changed in self._waiting:
                        changed.set()
                await asyncio.sleep(INTERVAL)
        finally:
            self._task = None
            self._forget()

    def _state(self) -> object:
        """Return a value that differs if the store has changed; None while it cannot be read."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            with self._connection.begin():
                return state_of(self._connection)
        except (SQLAlchemyError, StoreError):  # the latter once the console stops
            self._forget()
            return None

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def state_of(connection: Connection) -> object:
    """Return a value that changes with each change of the store by other connections."""
    if connection.dialect.name == "sqlite":
        version: int = connection.exec_driver_sql("PRAGMA data_version").scalar_one()
        return version
    return tuple(connection.execute(query).scalar() for query in (NEWEST, IN_FLIGHT))
