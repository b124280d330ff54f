"""Measure the size of a store, and free its unused space."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from sqlalchemy import ColumnElement, Connection, Engine, func, literal, select, text

from moonpalace_addons.store.schema import EVENT_STREAMS, EXCHANGES, METADATA, PARTS, SEARCH_BLOCKS

ROW_OVERHEAD = 1000
"""Approximate bytes of a call in PostgreSQL besides its bodies and headers."""


def size(engine: Engine) -> int:
    """Return the size of the store on disk in bytes, without free space inside it."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            pages, free, page = (pragma(connection, name) for name in ("page_count", "freelist_count", "page_size"))
            return (pages - free) * page
        # Deleting rows does not shrink the files; counting their space would make a clean-up delete everything.
        return min(relation_bytes(connection), live_bytes(connection))


def pragma(connection: Connection, name: str) -> int:
    """Return the value of a pragma."""
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def relation_bytes(connection: Connection) -> int:
    """Return the size of a PostgreSQL store's files in bytes."""
    names = ", ".join(f"('{name}')" for name in METADATA.tables)
    query = f"SELECT sum(pg_total_relation_size(to_regclass(name))) FROM (VALUES {names}) AS t(name)"  # noqa: S608
    return int(connection.execute(text(query)).scalar_one())


def live_bytes(connection: Connection) -> int:
    """Return the approximate size of the stored data in bytes."""
    calls = select(func.count() * ROW_OVERHEAD + func.coalesce(func.sum(headers_length()), 0)).select_from(EXCHANGES)
    parts = select(func.coalesce(func.sum(func.length(PARTS.c.data) + 100), 0))
    streams = select(func.coalesce(func.sum(stream_length()), 0))
    words = select(func.coalesce(func.sum(func.length(SEARCH_BLOCKS.c.words) + 100), 0))
    return sum(int(connection.execute(query).scalar_one()) for query in (calls, parts, streams, words))


def stream_length() -> ColumnElement[int]:
    """Return the expression for the approximate size of a stream in bytes."""
    columns = EVENT_STREAMS.c
    return func.length(columns.data) + func.length(columns.chunks) + func.length(func.coalesce(columns.texts, ""))


def headers_length() -> ColumnElement[int]:
    """Return the expression for the approximate size of headers in a call's row."""
    lengths = (func.length(column) for column in (EXCHANGES.c.request_headers, EXCHANGES.c.response_headers))
    return sum((func.coalesce(length, 0) for length in lengths), literal(0))


@contextmanager
def outside(engine: Engine) -> Iterator[sqlite3.Connection]:
    """Yield the driver's connection to an SQLite store outside a transaction, as some pragmas require."""
    with engine.connect() as connection:
        yield cast(sqlite3.Connection, connection.connection.driver_connection)


def shrink(engine: Engine, pages: int) -> int:
    """Free at most `pages` pages of an SQLite store; return the number still free."""
    with outside(engine) as driver:
        driver.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()  # each fetched row frees one page
        return int(driver.execute("PRAGMA freelist_count").fetchone()[0])


def truncate_log(engine: Engine) -> bool:
    """Checkpoint and truncate the log of an SQLite store; return False if readers prevent it."""
    with outside(engine) as driver:
        timeout = driver.execute("PRAGMA busy_timeout").fetchone()[0]
        driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # most of it, without blocking writers
        driver.execute("PRAGMA busy_timeout = 0")  # otherwise writers would wait here for readers
        try:
            (busy, _, _) = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            driver.execute(f"PRAGMA busy_timeout = {timeout}")
        return not busy


def rewrite(engine: Engine) -> None:
    """Rewrite the whole store to its minimal size; other writers have to wait."""
    if engine.dialect.name == "sqlite":
        with outside(engine) as driver:
            driver.execute("PRAGMA auto_vacuum = INCREMENTAL")
            driver.execute("VACUUM")
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in METADATA.tables:
            connection.execute(text(f"VACUUM (FULL, ANALYZE) {table}"))
