"""Register the SQL functions that predicates need, on each SQLite connection of an engine."""

from __future__ import annotations

import json
import sqlite3
from functools import lru_cache
from typing import cast

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from moonpalace_addons.store.database.postgres import limit_statements
from moonpalace_addons.store.query import words
from moonpalace_addons.store.query.patterns import Pattern, compiled
from moonpalace_addons.store.query.places import lengths, places

MMAP_SIZE = 2**36
"""Bytes of the database file that are memory-mapped; more than any store has."""

STATEMENT_TIMEOUT = 60.0
"""Seconds for a statement with a regular expression on PostgreSQL, whose regex engine has no time limit."""


def install(engine: Engine) -> None:
    """Add the functions to all connections of an engine; idempotent."""
    if engine.dialect.name == "sqlite" and not event.contains(engine, "checkout", add_functions):
        # On checkout rather than on connect, because the pool already has connections.
        event.listen(engine, "checkout", add_functions)


def limit_time(engine: Engine) -> None:
    """Limit every statement on PostgreSQL to `STATEMENT_TIMEOUT`; idempotent."""
    if engine.dialect.name == "postgresql" and not event.contains(engine, "begin", set_time_limit):
        event.listen(engine, "begin", set_time_limit)


def set_time_limit(connection: Connection) -> None:
    """Set the statement timeout of a transaction."""
    limit_statements(connection, STATEMENT_TIMEOUT)


def add_functions(connection: DBAPIConnection, _: ConnectionPoolEntry, __: object) -> None:
    """Register the functions on an SQLite connection."""
    sqlite = cast(sqlite3.Connection, connection)
    # Reading bodies from the page cache without copying is a sixth faster.
    sqlite.execute(f"PRAGMA mmap_size = {MMAP_SIZE}")
    sqlite.create_function("moonpalace_regex", 2, search, deterministic=True)
    sqlite.create_function("moonpalace_holds", 2, holds, deterministic=True)
    sqlite.create_function("moonpalace_places", 2, places, deterministic=True)
    sqlite.create_function("moonpalace_lengths", 2, lengths, deterministic=True)
    sqlite.create_function("moonpalace_words", 3, has_words, deterministic=True)


@lru_cache(maxsize=64)
def pattern(text: str) -> Pattern:
    """Return a compiled regular expression, cached."""
    return compiled(text)


def search(regex: str, text: bytes | None) -> bool | None:
    """Return whether a regular expression matches somewhere in a UTF-8 text; None for NULL."""
    return None if text is None else pattern(regex).search(text) is not None


def holds(body: bytes | None, text: str) -> bool | None:
    """Return whether a UTF-8 body contains a text, None for NULL; faster than LIKE for non-ASCII text."""
    return None if body is None else text.encode() in body


@lru_cache(maxsize=16)
def terms(packed: str) -> tuple[words.Term, ...]:
    """Return the terms encoded as JSON."""
    return tuple(tuple(term) for term in json.loads(packed))


def has_words(packed: str, request: bytes | None, response: bytes | None) -> bool:
    """Return whether the terms, encoded as JSON, occur in the UTF-8 bodies of a call."""
    bodies = [body.decode(errors="replace") for body in (request, response) if body]
    return words.occur(terms(packed), bodies)
