"""Limit the time of the pages' queries: few threads run them, and slow filters would occupy all of them."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

from sqlalchemy import Connection, Engine, event

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.postgres import is_statement_timeout, limit_statements

if TYPE_CHECKING:
    import psycopg

SECONDS = 20.0
STEPS = 10_000
"""SQLite's instructions between checks of the time."""
TOO_SLOW = f"this takes more than {SECONDS:.0f} s: narrow the filter, for example with requested_at > -1d"
STOPPED = "the console is stopping"
CANCEL_TIMEOUT = 1.0
"""Seconds to tell PostgreSQL to cancel a statement."""


class TimeLimit:
    """End queries of an engine `SECONDS` after their transaction began, and immediately when stopped.

    PostgreSQL counts the seconds for each statement.
    """

    def __init__(self, engine: Engine) -> None:
        self.is_stopped = False
        self._running: dict[Connection, psycopg.Connection[tuple[object, ...]]] = {}
        """The running queries on PostgreSQL, with the driver's connection, which a broken connection no longer returns.
        """
        self._engine = engine
        self._listeners = (
            ("begin", self._begin),
            ("before_cursor_execute", self._check),
            ("commit", self._end),
            ("rollback", self._end),
        )
        for name, listener in self._listeners:
            event.listen(engine, name, listener)

    @property
    def reason(self) -> str:
        """Return why a query was ended."""
        return STOPPED if self.is_stopped else TOO_SLOW

    def stop(self) -> None:
        """End all running queries, and refuse new ones. Thread-safe."""
        self.is_stopped = True
        for running in tuple(self._running.values()):
            with contextlib.suppress(Exception):  # it may have ended
                running.cancel_safe(timeout=CANCEL_TIMEOUT)

    def close(self) -> None:
        """Remove the limit from the engine."""
        for name, listener in self._listeners:
            event.remove(self._engine, name, listener)

    def _check(self, *_: object) -> None:
        """Refuse a statement after the stop: cancelling ends only the current statement, not the transaction's next."""
        if self.is_stopped:
            raise StoreError(STOPPED)

    def _begin(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        if connection.dialect.name == "sqlite":
            end = time.monotonic() + SECONDS
            sqlite = cast(sqlite3.Connection, driver)
            sqlite.set_progress_handler(lambda: self.is_stopped or time.monotonic() > end, STEPS)
            return
        self._running[connection] = cast("psycopg.Connection[tuple[object, ...]]", driver)
        try:
            limit_statements(connection, SECONDS)
        except BaseException:
            self._running.pop(connection, None)  # nothing is running that could be ended
            raise

    def _end(self, connection: Connection) -> None:
        self._running.pop(connection, None)
        if connection.dialect.name == "sqlite" and not connection.invalidated:
            cast(sqlite3.Connection, connection.connection.driver_connection).set_progress_handler(None, 0)


def is_out_of_time(cause: BaseException) -> bool:
    """Return whether a database ended a statement because of its limit."""
    return str(cause) == "interrupted" or is_statement_timeout(cause)


def limited[T](batches: Iterable[T]) -> Iterator[T]:
    """Yield the results of many statements; raise StoreError once they have taken too long together."""
    end = time.monotonic() + SECONDS
    for batch in batches:
        yield batch
        if time.monotonic() > end:
            raise StoreError(TOO_SLOW)
