"""Open a store: make the file, check whose it is, bring its schema up to date."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.schema import REVISION

BUSY_TIMEOUT = 5.0
"""Seconds that SQLite waits for another process's lock before it gives up."""


def open_store(url: str, *, create: bool = False) -> Engine:
    """Return an engine on the store at `url`, made first if it is missing and `create` is set.

    Raises StoreError with one line for whatever keeps the store from being used. The line never holds a password.
    """
    parsed = parse_url(url)
    file = sqlite_file(parsed)
    if file is not None:
        prepare_file(file, create=create)
    try:
        engine = make_engine(parsed)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreError(f"cannot open {shown(parsed)}: {error}; is the driver installed?") from error
    try:
        bring_up_to_date(engine, parsed)
    except DBAPIError as error:
        engine.dispose()
        raise refusal("cannot open", parsed, error) from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def parse_url(url: str) -> URL:
    """Return the parsed SQLAlchemy URL; raises StoreError without repeating a password."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # Not chained: their text may repeat what stands in the URL.
        raise StoreError("the database is not a valid URL: give a path or an SQLAlchemy URL") from None


def shown(url: URL) -> str:
    """Return the store's name for messages: a path for SQLite, else the URL without its password."""
    file = sqlite_file(url)
    return str(file) if file is not None else url.render_as_string(hide_password=True)


def sqlite_file(url: URL) -> Path | None:
    """Return the file of an SQLite store, None for other databases and for `:memory:`."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database)


def prepare_file(file: Path, *, create: bool) -> None:
    """Make the folder (0700) and an empty file (0600), so that nobody else can read what will be written there."""
    try:
        if file.exists():
            if create and file.stat().st_mode & 0o077 and os.access(file, os.W_OK):
                with suppress(PermissionError):  # shared with its owner, who alone may do that
                    file.chmod(0o600)
            return
        if not create:
            raise StoreError(
                f"there is no database at {file}: run mpal start and make a call through it, or give --database"
            )
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"cannot create the database {file}: {error.strerror}") from error


def make_engine(url: URL) -> Engine:
    """Return an engine whose SQLite connections have our pragmas and honest transactions."""
    if url.get_backend_name() != "sqlite":
        return create_engine(url)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False})
    event.listen(engine, "connect", set_pragmas)
    event.listen(engine, "begin", begin)
    return engine


def set_pragmas(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    """Set what is per connection; the driver's own transaction handling is turned off in favour of `begin`."""
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")


def begin(connection: Connection) -> None:
    """Begin a transaction; one that will write takes the lock at once, or it could fail half-way with no retry."""
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give a connection in a transaction that may write, committed at the end."""
    with engine.connect().execution_options(immediate=True) as connection, connection.begin():
        yield connection


def bring_up_to_date(engine: Engine, url: URL) -> None:
    """Check whose database it is and run the migrations that it lacks."""
    revision = current_revision(engine, url)
    if revision == REVISION:
        return
    if revision is not None and revision > REVISION:
        raise StoreError(
            f"{shown(url)} was written by a newer MoonPalace (schema {revision}, this one knows {REVISION}): upgrade"
        )
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            # Outside a transaction; the mode stays with the file. Readers then never wait for the writer.
            connection.connection.driver_connection.execute("PRAGMA journal_mode = WAL")  # type: ignore[union-attr]
    with writing(engine) as connection:
        migrate(connection)


def current_revision(engine: Engine, url: URL) -> str | None:
    """Return the schema's revision, None for an empty database; refuses databases that are not ours."""
    with engine.connect() as connection:
        tables = set(inspect(connection).get_table_names())
        if not tables:
            return None
        if "alembic_version" in tables and "exchanges" in tables:
            revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return revision
    if "moonshot_requests" in tables:
        raise StoreError(
            f"{shown(url)} was written by the original MoonPalace; taking such files over is not built yet:"
            " give another file with --database, or MOONPALACE_HOME"
        )
    raise StoreError(f"{shown(url)} holds other tables than MoonPalace's: give another database with --database")


def migrate(connection: Connection) -> None:
    """Run the migrations on `connection`, in its transaction."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it announces each step, already while it is imported
    # Alembic costs 0.3 s and is needed once in the life of a store.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "moonpalace_addons.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def refusal(what: str, url: URL, error: DBAPIError) -> StoreError:
    """Return the error for a database that refuses to work: what failed, where, why."""
    return StoreError(f"{what} {shown(url)}: {reason(error, sqlite_file(url))}")


def reason(error: DBAPIError, file: Path | None) -> str:
    """Return the database's own words for why it failed, with what to do where we know it."""
    words = (str(error.orig).strip() or type(error.orig).__name__).splitlines()[0]
    if "not a database" in words:
        return f"it is not an SQLite database ({words}); move it away or give another with --database"
    if "locked" in words:
        return f"{words}: another process holds it, try again when that has ended"
    if file is not None and ("readonly" in words or "unable to open" in words):
        return f"{words}; check the permissions of the file and of its folder {file.parent}"
    return words
