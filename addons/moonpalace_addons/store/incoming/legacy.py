"""Read the rows of a database written by any version of the original MoonPalace."""

import sqlite3
from collections.abc import Iterator, Mapping

TABLE = "moonshot_requests"
COLUMNS = (
    "id",
    "request_method",
    "request_path",
    "request_query",
    "request_content_type",
    "request_id",
    "moonshot_id",
    "moonshot_gid",
    "moonshot_uid",
    "moonshot_request_id",
    "moonshot_server_timing",
    "response_status_code",
    "response_content_type",
    "request_header",
    "request_body",
    "response_header",
    "response_body",
    "error",
    "response_ttft",
    "response_tpot",
    "response_otps",
    "latency",
    "endpoint",
    "created_at",
)
"""The columns of the newest version. Those that older versions lack read as NULL."""
BODIES = ("request_body", "response_body")
HEADERS = ("request_header", "response_header")
REQUIRED_COLUMNS = frozenset({"request_method", "request_path", "created_at"})
"""Columns of every version; a table without them belongs to another program."""

type Stored = bytes | int | float | None
type LegacyRow = Mapping[str, Stored]
"""A row with all of `COLUMNS`. Texts are bytes, because the original stored bodies as text even if not UTF-8."""


def is_legacy(connection: sqlite3.Connection) -> bool:
    """Return whether a database contains the original's table and none of ours."""
    tables = table_names(connection)
    return TABLE in tables and "exchanges" not in tables and present_columns(connection) >= REQUIRED_COLUMNS


def is_ours(connection: sqlite3.Connection) -> bool:
    """Return whether a database is one of ours."""
    return {"exchanges", "alembic_version"} <= table_names(connection)


def table_names(connection: sqlite3.Connection) -> set[str]:
    """Return the names of all tables."""
    return {text(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def present_columns(connection: sqlite3.Connection) -> set[str]:
    """Return the names of the columns that the table has."""
    return {text(row[1]) for row in connection.execute(f"PRAGMA table_info({TABLE})")}


def count(connection: sqlite3.Connection) -> int:
    """Return the number of rows."""
    (number,) = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()  # noqa: S608 - a constant
    return int(number)


def greatest_id(connection: sqlite3.Connection) -> int:
    """Return the greatest id ever assigned, including deleted rows."""
    (greatest,) = connection.execute(f"SELECT coalesce(max(rowid), 0) FROM {TABLE}").fetchone()  # noqa: S608
    try:
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (TABLE,)).fetchone()
    except sqlite3.OperationalError:
        row = None  # the table has no AUTOINCREMENT
    return max(int(greatest), int(row[0]) if row and row[0] is not None else 0)


def rows(connection: sqlite3.Connection) -> Iterator[LegacyRow]:
    """Yield the rows, oldest first, one at a time because bodies may be large."""
    yield from selected(connection, {}, "ORDER BY rowid")


def keys(connection: sqlite3.Connection) -> Iterator[LegacyRow]:
    """Yield the rows, oldest first, without headers and with the sizes of bodies, in bytes, in place of bodies."""
    without = dict.fromkeys(HEADERS, "NULL")
    yield from selected(
        connection, without | {name: f"length(CAST({name} AS BLOB))" for name in BODIES}, "ORDER BY rowid"
    )


def row(connection: sqlite3.Connection, row_id: int) -> LegacyRow:
    """Return the row with this id."""
    (found,) = selected(connection, {}, f"WHERE rowid = {row_id:d}")
    return found


def selected(connection: sqlite3.Connection, instead: Mapping[str, str], rest: str) -> Iterator[LegacyRow]:
    """Yield rows with all of `COLUMNS`, some replaced by other expressions."""
    present = present_columns(connection) - {"id"}
    chosen = [f"{instead.get(name, name) if name in present else 'NULL'} AS {name}" for name in COLUMNS]
    chosen[0] = "rowid AS id"  # the same, but exists even without such a column
    connection.text_factory = bytes
    cursor = connection.execute(f"SELECT {', '.join(chosen)} FROM {TABLE} {rest}")  # noqa: S608 - constants
    for values in cursor:
        yield dict(zip(COLUMNS, values, strict=True))


def text(value: str | bytes) -> str:
    """Return a name as str, whatever the connection's text factory is."""
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")
