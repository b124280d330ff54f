"""The functions that SQLite lacks, given to each connection of an engine."""

from __future__ import annotations

import json
import sqlite3
from functools import lru_cache
from typing import cast

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from moonpalace_addons.store.query import words
from moonpalace_addons.store.query.patterns import Pattern, compiled
from moonpalace_addons.store.query.places import lengths, places

MAPPED = 2**36
"""Bytes of the database that are mapped, more than any has."""

TIME_LIMIT = "60s"
"""How long a statement with a regular expression may take on PostgreSQL, whose own engine has no bound."""


def install(engine: Engine) -> None:
    """See to it that conditions work on this engine; calling it again changes nothing."""
    if engine.dialect.name == "sqlite" and not event.contains(engine, "checkout", add_functions):
        # At checkout, and not at connect: the pool has connections already.
        event.listen(engine, "checkout", add_functions)


def limit_time(engine: Engine) -> None:
    """Let no statement on PostgreSQL take longer than `TIME_LIMIT`; calling it again changes nothing."""
    if engine.dialect.name == "postgresql" and not event.contains(engine, "begin", set_time_limit):
        event.listen(engine, "begin", set_time_limit)


def set_time_limit(connection: Connection) -> None:
    """Limit the statements of a transaction that begins."""
    connection.exec_driver_sql("SELECT set_config('statement_timeout', %s, true)", (TIME_LIMIT,))


def add_functions(connection: DBAPIConnection, _: ConnectionPoolEntry, __: object) -> None:
    """Add our functions to a connection of SQLite."""
    sqlite = cast(sqlite3.Connection, connection)
    # Bodies are read where they lie in the page cache; a sixth faster than copies of them.
    sqlite.execute(f"PRAGMA mmap_size = {MAPPED}")
    sqlite.create_function("moonpalace_regex", 2, search, deterministic=True)
    sqlite.create_function("moonpalace_holds", 2, holds, deterministic=True)
    sqlite.create_function("moonpalace_places", 2, places, deterministic=True)
    sqlite.create_function("moonpalace_lengths", 2, lengths, deterministic=True)
    sqlite.create_function("moonpalace_words", 3, has_words, deterministic=True)


@lru_cache(maxsize=64)
def pattern(text: str) -> Pattern:
    """Return a compiled regular expression."""
    return compiled(text)


def search(regex: str, text: bytes | None) -> bool | None:
    """Tell whether a regular expression is found in a text in UTF-8, None for no text."""
    return None if text is None else pattern(regex).search(text) is not None


def holds(body: bytes | None, text: str) -> bool | None:
    """Tell whether a text is in a body in UTF-8, None for no body; for what is not ASCII, quicker than LIKE."""
    return None if body is None else text.encode() in body


@lru_cache(maxsize=16)
def terms(packed: str) -> tuple[words.Term, ...]:
    """Return the terms that are packed in JSON."""
    return tuple(tuple(term) for term in json.loads(packed))


def has_words(packed: str, request: bytes | None, response: bytes | None) -> bool:
    """Tell whether the terms, packed in JSON, occur in the bodies of a call, in UTF-8."""
    bodies = [body.decode(errors="replace") for body in (request, response) if body]
    return words.occur(terms(packed), bodies)
