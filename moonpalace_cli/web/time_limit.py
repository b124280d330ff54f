"""Limit the time of what pages ask of the store: few threads read it, and slow filters would take all of them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import cast

from sqlalchemy import Connection, Engine, event

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.postgres import is_statement_timeout, limit_statements

SECONDS = 20.0
STEPS = 10_000
"""Instructions of SQLite between looks at the clock."""
TOO_SLOW = f"this takes more than {SECONDS:.0f} s: narrow the filter, for example with requested_at > -1d"


def limit_time(engine: Engine) -> None:
    """End what an engine still runs `SECONDS` after its transaction began; PostgreSQL counts for each statement."""
    event.listen(engine, "begin", limit_transaction)


def limit_transaction(connection: Connection) -> None:
    """Limit the time of a transaction that begins."""
    if connection.dialect.name != "sqlite":
        limit_statements(connection, SECONDS)
        return
    end = time.monotonic() + SECONDS
    sqlite = cast(sqlite3.Connection, connection.connection.driver_connection)
    sqlite.set_progress_handler(lambda: time.monotonic() > end, STEPS)


def is_out_of_time(cause: BaseException) -> bool:
    """Tell whether a database has ended a statement because of its limit."""
    return str(cause) == "interrupted" or is_statement_timeout(cause)


def limited[T](batches: Iterable[T]) -> Iterator[T]:
    """Yield what is read in many statements; raise StoreError once all of them have taken too long."""
    end = time.monotonic() + SECONDS
    for batch in batches:
        yield batch
        if time.monotonic() > end:
            raise StoreError(TOO_SLOW)
