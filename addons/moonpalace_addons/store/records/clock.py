"""The database's clock, which all proxies on a store share; the clocks of machines may differ by hours."""

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class database_now(FunctionElement[int]):  # noqa: N801 - named like an SQL function
    """The time of the statement, in microseconds since the epoch."""

    type = BigInteger()
    inherit_cache = True


class database_started(FunctionElement[int]):  # noqa: N801
    """The time since which the database has been available, in microseconds since the epoch."""

    type = BigInteger()
    inherit_cache = True


@compiles(database_now, "sqlite")
def now_on_sqlite(_: database_now, __: SQLCompiler, **___: object) -> str:
    """Return SQLite's expression, in whole milliseconds; `unixepoch` with fractions needs SQLite 3.42."""
    return "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"


@compiles(database_now, "postgresql")
def now_on_postgresql(_: database_now, __: SQLCompiler, **___: object) -> str:
    """Return PostgreSQL's expression."""
    return "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT)"


@compiles(database_started, "sqlite")
def started_on_sqlite(_: database_started, __: SQLCompiler, **___: object) -> str:
    """Return SQLite's expression; a file is always available."""
    return "0"


@compiles(database_started, "postgresql")
def started_on_postgresql(_: database_started, __: SQLCompiler, **___: object) -> str:
    """Return PostgreSQL's expression; nobody can write while the server is down."""
    return "CAST(extract(epoch FROM pg_postmaster_start_time()) * 1000000 AS BIGINT)"
