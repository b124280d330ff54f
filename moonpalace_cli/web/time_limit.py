"""Limit the time of what pages ask of the store: few threads read it, and slow filters would take all of them."""

from __future__ import annotations

import sqlite3
import time
from typing import cast

from sqlalchemy import Connection, Engine, event

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
        milliseconds = str(int(SECONDS * 1000))
        connection.exec_driver_sql("SELECT set_config('statement_timeout', %s, true)", (milliseconds,))
        return
    end = time.monotonic() + SECONDS
    sqlite = cast(sqlite3.Connection, connection.connection.driver_connection)
    sqlite.set_progress_handler(lambda: time.monotonic() > end, STEPS)


def is_out_of_time(cause: BaseException) -> bool:
    """Tell whether a database has ended a statement because of its limit."""
    return str(cause) == "interrupted" or "statement timeout" in str(cause)
