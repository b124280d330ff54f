"""How much room a store takes, and giving room back to the disk."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from sqlalchemy import ColumnElement, Connection, Engine, func, literal, select, text

from moonpalace_addons.store.schema import EVENT_STREAMS, EXCHANGES, METADATA, PARTS, SEARCH_BLOCKS

ROW = 1000
"""Bytes that a call takes in PostgreSQL beside its bodies and headers, about."""


def size(engine: Engine) -> int:
    """Return the bytes that the store takes on disk, without those that are free inside it."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            pages, free, page = (pragma(connection, name) for name in ("page_count", "freelist_count", "page_size"))
            return (pages - free) * page
        # Deleted rows leave the files as long as they are, for new rows; to count them would never come to an end.
        return min(relation_bytes(connection), living_bytes(connection))


def pragma(connection: Connection, name: str) -> int:
    """Return the value of a pragma."""
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def relation_bytes(connection: Connection) -> int:
    """Return the bytes of the files of a PostgreSQL store."""
    names = ", ".join(f"('{name}')" for name in METADATA.tables)
    query = f"SELECT sum(pg_total_relation_size(to_regclass(name))) FROM (VALUES {names}) AS t(name)"  # noqa: S608
    return int(connection.execute(text(query)).scalar_one())


def living_bytes(connection: Connection) -> int:
    """Return the bytes of all that is stored, about."""
    calls = select(func.count() * ROW + func.coalesce(func.sum(headers_length()), 0)).select_from(EXCHANGES)
    parts = select(func.coalesce(func.sum(func.length(PARTS.c.data) + 100), 0))
    streams = select(func.coalesce(func.sum(stream_length()), 0))
    words = select(func.coalesce(func.sum(func.length(SEARCH_BLOCKS.c.words) + 100), 0))
    return sum(int(connection.execute(query).scalar_one()) for query in (calls, parts, streams, words))


def stream_length() -> ColumnElement[int]:
    """Return the bytes of a stream, about."""
    columns = EVENT_STREAMS.c
    return func.length(columns.data) + func.length(columns.chunks) + func.length(func.coalesce(columns.texts, ""))


def headers_length() -> ColumnElement[int]:
    """Return the bytes of the headers that stand in the row of a call, about."""
    lengths = (func.length(column) for column in (EXCHANGES.c.request_headers, EXCHANGES.c.response_headers))
    return sum((func.coalesce(length, 0) for length in lengths), literal(0))


@contextmanager
def outside(engine: Engine) -> Iterator[sqlite3.Connection]:
    """Give the driver's connection to an SQLite store outside a transaction, where some pragmas must be."""
    with engine.connect() as connection:
        yield cast(sqlite3.Connection, connection.connection.driver_connection)


def shrink(engine: Engine, pages: int) -> int:
    """Give at most so many free pages of an SQLite store back; return how many are still free."""
    with outside(engine) as driver:
        driver.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()  # it works one page a row
        return int(driver.execute("PRAGMA freelist_count").fetchone()[0])


def take_in_log(engine: Engine) -> bool:
    """Write the log of an SQLite store into its file and cut it off; return False if readers are in the way."""
    with outside(engine) as driver:
        patience = driver.execute("PRAGMA busy_timeout").fetchone()[0]
        driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # the bulk, while others write on
        driver.execute("PRAGMA busy_timeout = 0")  # or writers would wait here for readers
        try:
            (busy, _, _) = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            driver.execute(f"PRAGMA busy_timeout = {patience}")
        return not busy


def rewrite(engine: Engine) -> None:
    """Write the whole store anew, as small as can be; whoever else writes has to wait."""
    if engine.dialect.name == "sqlite":
        with outside(engine) as driver:
            driver.execute("PRAGMA auto_vacuum = INCREMENTAL")
            driver.execute("VACUUM")
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in METADATA.tables:
            connection.execute(text(f"VACUUM (FULL, ANALYZE) {table}"))
