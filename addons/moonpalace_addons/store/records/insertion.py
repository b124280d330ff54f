"""Insert many rows into SQLite at once."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter

from sqlalchemy import Connection, Table


def insert_many(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows that all have the same columns, two or more, with values that SQLite takes as they are.

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
