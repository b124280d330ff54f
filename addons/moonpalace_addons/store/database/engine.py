"""Create engines and transactions on a database of a store, and the schema of a new one."""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database import postgres
from moonpalace_addons.store.database.file_checks import is_store_file, missing, not_a_database
from moonpalace_addons.store.database.private import make_folder, make_private

BUSY_TIMEOUT = 5.0
"""Seconds that a statement waits for another process's lock."""

LAYOUT_TIMEOUT = 30.0
LAYOUT_RETRY_DELAY = 0.02
"""Seconds to wait for another process that sets the layout of the same new file, and between attempts."""

PAGE_SIZE = 16384
"""Bytes per page of an SQLite file; with SQLite's default of 4096, rows of some KB waste a quarter of the space."""

DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
"""Accepted URL schemes, with the driver name for SQLAlchemy."""


def unopened_store(url: str) -> Engine:
    """Return an engine on a store that is currently unavailable, for a caller that had it open and waits for it."""
    return make_engine(parse_url(url))


def parse_url(url: str) -> URL:
    """Parse a URL, and set our driver; the StoreError for an invalid one does not repeat the password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Not chained, because the original message may repeat the URL.
        raise StoreError("the database is not a valid URL: give a path or an SQLAlchemy URL") from None
    if parsed.drivername not in DRIVERS:
        raise StoreError(
            f"the database cannot be {parsed.drivername}: calls are kept in SQLite (a path) or in PostgreSQL"
            " (postgresql://user@host/name)"
        )
    # What precedes the last @ may be the end of the password: in the host, or after a / in the name of the database.
    if "@" in (parsed.host or "") or (parsed.host and url.partition("?")[0].count("@") > 1):
        raise StoreError("the database's URL has several @: write one in a user or password as %40")
    return parsed.set(drivername=DRIVERS[parsed.drivername])


def shown(url: URL) -> str:
    """Return the store's name for messages: the path for SQLite, else the URL without its password."""
    file = sqlite_file(url)
    if file is not None:
        return str(file)
    hidden = {name: "***" for name in url.query if "password" in name.lower()}
    harmless = url.set(drivername=url.get_backend_name()).update_query_dict(hidden)
    return harmless.render_as_string(hide_password=True).replace("%2A%2A%2A", "***")


def sqlite_file(url: URL) -> Path | None:
    """Return the file of an SQLite store; None for other databases and for `:memory:`."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database)


def prepare_file(file: Path, *, create: bool) -> None:
    """Create the folder (0700) and an empty file (0600), private from the start.

    An existing file must be a store or empty; with `create`, other users' permissions on it are removed.
    """
    try:
        if file.exists():
            if is_store_file(file) and create and os.access(file, os.W_OK):
                make_private(file)
            return
        if not create:
            raise missing(file)
        make_folder(file.parent)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"cannot create the database {file}: {error.strerror}") from error


def make_engine(url: URL) -> Engine:
    """Return an engine with our connection settings and explicit transactions; raises StoreError without a driver."""
    if url.get_backend_name() == "postgresql":
        try:
            return postgres.make_engine(url, BUSY_TIMEOUT)
        except ImportError as error:
            raise StoreError(
                f"cannot open {shown(url)}: the driver is missing, install it: pip install 'psycopg[binary]'"
            ) from error
    engine = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False}, hide_parameters=True
    )
    event.listen(engine, "connect", set_pragmas)
    event.listen(engine, "begin", begin)
    return engine


@contextmanager
def for_deleting(engine: Engine, cache_size: int) -> Iterator[Engine]:
    """Yield an engine on the same store for deleting many rows, on SQLite with a page cache of `cache_size` bytes.

    SQLite's default of 2 MB is smaller than the index of pieces, so random changes to it would write pages repeatedly.
    Freed pages are not overwritten with zeros, which would double the writing; the caller returns them to the file
    system.
    """
    if sqlite_file(engine.url) is None:
        yield engine
        return
    own = make_engine(engine.url)

    def prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.execute(f"PRAGMA cache_size = -{cache_size // 1024}")
        connection.execute("PRAGMA secure_delete = FAST")

    event.listen(own, "connect", prepare)
    try:
        yield own
    finally:
        own.dispose()


def set_pragmas(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    """Set the pragmas of a connection, and turn off the driver's transaction handling in favour of `begin`."""
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")


def begin(connection: Connection) -> None:
    """Begin a transaction; a writing one takes the lock at once, as upgrading it later can fail without retry."""
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def writing(engine: Engine, *, alone: bool = False, patience: float | None = None) -> Iterator[Connection]:
    """Yield a connection in a transaction that may write; it is committed on exit.

    SQLite allows one such transaction at a time, PostgreSQL several. One that is `alone` excludes all others there and
    has to be short; `patience` is its lock timeout in seconds on PostgreSQL, by default `BUSY_TIMEOUT`.
    """
    options: dict[str, object] = {"immediate": True, "alone": alone, "patience": patience}
    with engine.connect().execution_options(**options) as connection:
        try:
            with connection.begin():
                yield connection
        except OperationalError:
            if engine.dialect.name == "postgresql":
                # A connection lost during a statement may fail to roll back, which the pool would log with a traceback.
                connection.invalidate()
            raise


def set_layout(engine: Engine) -> None:
    """Set the layout of a new SQLite file; an existing file only changes to WAL mode.

    SQLite's busy timeout does not cover the change to WAL mode, so another process that makes it is waited for here.
    """
    deadline = time.monotonic() + LAYOUT_TIMEOUT
    while True:
        try:
            _set_layout(engine)
        except (sqlite3.OperationalError, OperationalError) as error:
            cause = error.orig if isinstance(error, OperationalError) else error
            if time.monotonic() > deadline or not is_locked(cause):
                raise OperationalError("PRAGMA", None, cast(BaseException, cause)) from error
            time.sleep(LAYOUT_RETRY_DELAY)
        else:
            return


def _set_layout(engine: Engine) -> None:
    with engine.connect() as connection:
        # These pragmas only work outside a transaction.
        driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        driver.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        driver.execute("PRAGMA auto_vacuum = INCREMENTAL")  # returns free pages without rewriting the file
        driver.execute("PRAGMA journal_mode = WAL")  # readers never wait for the writer


def is_locked(error: BaseException | None) -> bool:
    """Return whether an SQLite operation failed because another process holds a lock."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def make_store(file: Path) -> Engine:
    """Create a store in a new SQLite file; return an engine on it."""
    prepare_file(file, create=True)
    engine = make_engine(URL.create("sqlite", database=str(file)))
    try:
        set_layout(engine)
        with writing(engine) as connection:
            migrate(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def check_encoding(connection: Connection, url: URL) -> None:
    """Raise StoreError for a PostgreSQL database whose encoding is not UTF-8."""
    if connection.dialect.name == "postgresql":
        encoding = connection.execute(text("SHOW server_encoding")).scalar()
        if encoding != "UTF8":
            raise StoreError(f"{shown(url)} has the encoding {encoding}: create the database with ENCODING 'UTF8'")


def migrate(connection: Connection, revision: str = "head") -> None:
    """Run the migrations on `connection`, in its transaction, and recreate the views for other programs."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # alembic logs each step, even during its import
    # Importing alembic takes 0.3 s and is only needed for migrations.
    from alembic import command
    from alembic.config import Config

    from moonpalace_addons.store.sql_views.making import drop_views, make_views

    config = Config()
    config.set_main_option("script_location", "moonpalace_addons.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    drop_views(connection)  # columns that a view shows cannot be changed
    command.upgrade(config, revision)
    if revision == "head":
        make_views(connection)


def refusal(action: str, url: URL, error: DBAPIError) -> StoreError:
    """Return the StoreError for a database error: the action that failed, the store and the reason."""
    return StoreError(f"{action} {shown(url)}: {reason(error, sqlite_file(url))}")


def reason(error: DBAPIError, file: Path | None) -> str:
    """Return the database's error message, with a hint on what to do if there is one."""
    words = (str(error.orig).strip() or type(error.orig).__name__).splitlines()[0]
    if file is None:
        return postgres.reason(words)
    if "not a database" in words:
        return not_a_database(words)
    if "locked" in words:
        return f"{words}: another process holds it, try again when that has ended"
    if "readonly" in words or "unable to open" in words:
        return f"{words}; check the permissions of the file and of its folder {file.parent}"
    return words
