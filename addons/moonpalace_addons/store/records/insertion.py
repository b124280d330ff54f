"""Give a database many rows at once.

PostgreSQL gets them as one JSON parameter. A statement with a placeholder for each value of each row is taken apart by
the driver in Python, which costs more than all else that storing a call does: three times as many calls are stored in a
second this way.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter

from sqlalchemy import JSON, Connection, Table, TableValuedAlias, Text, bindparam, cast, column, func

from moonpalace_addons.store.records.values import Values

ROWS = "json_rows"
"""The name of the parameter."""


def insert_many(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert into SQLite rows that all have the same columns, two or more, with values that SQLite takes as they are.

    SQLAlchemy would look at each value of each row once more, which takes as long as the insertion itself.
    """
    if rows:
        columns = tuple(rows[0])
        connection.exec_driver_sql(statement(table, columns), list(map(itemgetter(*columns), rows)))


@lru_cache(64)
def statement(table: Table, columns: tuple[str, ...]) -> str:
    """Return the statement for rows with these columns, in their order."""
    places = ", ".join("?" * len(columns))
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - names of our own


def recordset(table: Table, names: Sequence[str]) -> TableValuedAlias:
    """Return what stands for the rows in a statement, with these columns of the table and of its types."""
    columns = [column(name, table.c[name].type) for name in names]
    rows = func.json_to_recordset(cast(bindparam(ROWS, type_=Text), JSON))
    return rows.table_valued(*columns, name="given").render_derived(with_types=True)


def json_rows(rows: Sequence[Values]) -> dict[str, str]:
    """Return the parameter for rows without bytes."""
    return {ROWS: json.dumps(rows)}
