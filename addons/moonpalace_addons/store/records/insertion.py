"""Insert many rows at once.

PostgreSQL gets them as one JSON parameter. The driver parses statements with a placeholder per value in Python, which
costs more than everything else in storing a call; this way three times as many calls are stored per second.
"""

import importlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlalchemy import JSON, Connection, Table, TableValuedAlias, Text, bindparam, cast, column, func

from moonpalace_addons.store.records.values import Values

if TYPE_CHECKING:
    from sqlalchemy.dialects.sqlite import Insert

ROWS = "json_rows"
"""The name of the parameter."""


def insert_into(table: Table, dialect_name: str) -> "Insert":
    """Return the database's INSERT, which may have an ON CONFLICT clause."""
    # Importing the dialect of PostgreSQL takes a fifth of the start of a process that writes to SQLite.
    insert: Insert = importlib.import_module(f"sqlalchemy.dialects.{dialect_name}").insert(table)
    return insert


def insert_many(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]
) -> None:
    """Insert rows with these columns into SQLite; values must be of types that the driver accepts.

    SQLAlchemy would process each value again, which takes as long as the insertion itself.
    """
    if rows:
        connection.exec_driver_sql(statement(table, columns), rows)


@lru_cache(64)
def statement(table: Table, columns: tuple[str, ...]) -> str:
    """Return the INSERT statement for rows with these columns, in this order."""
    places = ", ".join("?" * len(columns))
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - names of our own


def recordset(table: Table, names: Sequence[str]) -> TableValuedAlias:
    """Return the rows as a table in a statement, with these columns of `table` and their types."""
    columns = [column(name, table.c[name].type) for name in names]
    rows = func.json_to_recordset(cast(bindparam(ROWS, type_=Text), JSON))
    return rows.table_valued(*columns, name="given").render_derived(with_types=True)


def json_rows(rows: Sequence[Values]) -> dict[str, str]:
    """Return the parameter for rows, which must not contain bytes."""
    return {ROWS: json.dumps(rows)}
