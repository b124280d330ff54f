"""Open a store: make the file, check whose it is, bring its schema up to date."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database import postgres
from moonpalace_addons.store.database.private import make_folder, make_private
from moonpalace_addons.store.database.whose import is_known, no_database
from moonpalace_addons.store.schema import REVISION

BUSY_TIMEOUT = 5.0
"""Seconds that a statement waits for another process's lock before it gives up."""

PAGE_SIZE = 16384
"""Bytes in a page of an SQLite file: rows of some KB leave a quarter of SQLite's default of 4096 empty."""

MIGRATION_PATIENCE = 60.0
"""Seconds to wait for another process's migrations, where the server is far away."""

DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
"""What the beginning of a URL may be, and what SQLAlchemy is given for it."""


def open_store(url: str, *, create: bool = False) -> Engine:
    """Return an engine on the store at `url`, made first if it is missing and `create` is set.

    Raises StoreError with one line for whatever keeps the store from being used. The line never holds a password.
    """
    parsed = parse_url(url)
    file = sqlite_file(parsed)
    if file is not None:
        prepare_file(file, create=create)
    engine = make_engine(parsed)
    try:
        open_patiently(engine, parsed)
    except DBAPIError as error:
        engine.dispose()
        raise refusal("cannot open", parsed, error) from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def unopened_store(url: str) -> Engine:
    """Return an engine on a store that cannot be opened at present, for who has had it open and waits for it."""
    return make_engine(parse_url(url))


def parse_url(url: str) -> URL:
    """Return the parsed SQLAlchemy URL, with the driver that we use; raises StoreError without repeating a password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Not chained: their text may repeat what stands in the URL.
        raise StoreError("the database is not a valid URL: give a path or an SQLAlchemy URL") from None
    if parsed.drivername not in DRIVERS:
        raise StoreError(
            f"the database cannot be {parsed.drivername}: calls are kept in SQLite (a path) or in PostgreSQL"
            " (postgresql://user@host/name)"
        )
    if "@" in (parsed.host or ""):  # and what stands before it may be the end of the password
        raise StoreError("the database's URL has several @: write one in a user or password as %40")
    return parsed.set(drivername=DRIVERS[parsed.drivername])


def shown(url: URL) -> str:
    """Return the store's name for messages: a path for SQLite, else the URL without its password."""
    file = sqlite_file(url)
    if file is not None:
        return str(file)
    hidden = {name: "***" for name in url.query if "password" in name.lower()}
    harmless = url.set(drivername=url.get_backend_name()).update_query_dict(hidden)
    return harmless.render_as_string(hide_password=True).replace("%2A%2A%2A", "***")


def sqlite_file(url: URL) -> Path | None:
    """Return the file of an SQLite store, None for other databases and for `:memory:`."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database)


def prepare_file(file: Path, *, create: bool) -> None:
    """Make the folder (0700) and an empty file (0600), so that nobody else can read what will be written there.

    One that is there must be a store, or empty; who may create one takes others' rights to it away.
    """
    try:
        if file.exists():
            if is_known(file) and create and os.access(file, os.W_OK):
                make_private(file)
            return
        if not create:
            raise StoreError(
                f"there is no database at {file}: run mpal start and make a call through it, or give --database"
            )
        make_folder(file.parent)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"cannot create the database {file}: {error.strerror}") from error


def make_engine(url: URL) -> Engine:
    """Return an engine whose connections have our settings and honest transactions; raises StoreError for no driver."""
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
def with_cache(engine: Engine, size: int) -> Iterator[Engine]:
    """Give an engine on the same store whose connections keep `size` bytes of an SQLite file in memory, until the end.

    SQLite's default, 2 MB, is less than the index of the pieces: who changes that at random writes its pages often.
    """
    if sqlite_file(engine.url) is None:
        yield engine
        return
    own = make_engine(engine.url)
    event.listen(own, "connect", lambda connection, _: connection.execute(f"PRAGMA cache_size = -{size // 1024}"))
    try:
        yield own
    finally:
        own.dispose()


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
def writing(engine: Engine, *, alone: bool = False, patience: float | None = None) -> Iterator[Connection]:
    """Give a connection in a transaction that may write, committed at the end.

    On SQLite there is one such transaction at a time; on PostgreSQL there are several, unless one is `alone`, which has
    to be short: all others wait. `patience` are the seconds to wait for that there, `BUSY_TIMEOUT` if not given.
    """
    options: dict[str, object] = {"immediate": True, "alone": alone, "patience": patience}
    with engine.connect().execution_options(**options) as connection:
        try:
            with connection.begin():
                yield connection
        except OperationalError:
            if engine.dialect.name == "postgresql":
                # One that was lost in midst of a statement may not even roll back, which the pool would log at length.
                connection.invalidate()
            raise


def open_patiently(engine: Engine, url: URL) -> None:
    """Bring the store up to date; wait first where another process is turning a file of the original into ours."""
    try:
        bring_up_to_date(engine, url)
    except DBAPIError:
        from moonpalace_addons.store.incoming.upgrade import wait_for_other

        file = sqlite_file(url)
        if file is None or not wait_for_other(file):
            raise
        bring_up_to_date(engine, url)


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
        lay_out(engine)
    # Whoever else starts on this database in the same moment waits here, and then finds the work done.
    with writing(engine, alone=True, patience=MIGRATION_PATIENCE) as connection:
        check_encoding(connection, url)
        migrate(connection)


def lay_out(engine: Engine) -> None:
    """Say how a new SQLite file is to be laid out; what is there already keeps its layout but for the WAL."""
    with engine.connect() as connection:
        # These work outside a transaction only.
        driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        driver.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        driver.execute("PRAGMA auto_vacuum = INCREMENTAL")  # gives freed pages back without writing the file anew
        driver.execute("PRAGMA journal_mode = WAL")  # readers never wait for the writer


def check_encoding(connection: Connection, url: URL) -> None:
    """Refuse a PostgreSQL database that cannot hold every text."""
    if connection.dialect.name == "postgresql":
        encoding = connection.execute(text("SHOW server_encoding")).scalar()
        if encoding != "UTF8":
            raise StoreError(f"{shown(url)} has the encoding {encoding}: create the database with ENCODING 'UTF8'")


def current_revision(engine: Engine, url: URL) -> str | None:
    """Return the schema's revision, None for an empty database; refuses databases that are not ours."""
    with engine.connect() as connection:
        tables = set(inspect(connection).get_table_names())
        if not tables:
            return None
        if "alembic_version" in tables and "exchanges" in tables:
            revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return revision
    file = sqlite_file(url)
    if "moonshot_requests" in tables and file is not None:
        # Once in the life of a file.
        from moonpalace_addons.store.incoming.upgrade import upgrade

        engine.dispose()
        if upgrade(file):
            return current_revision(engine, url)
    raise StoreError(f"{shown(url)} holds other tables than MoonPalace's: give another database with --database")


def migrate(connection: Connection, revision: str = "head") -> None:
    """Run the migrations on `connection`, in its transaction."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it announces each step, already while it is imported
    # Alembic costs 0.3 s and is needed once in the life of a store.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "moonpalace_addons.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def refusal(what: str, url: URL, error: DBAPIError) -> StoreError:
    """Return the error for a database that refuses to work: what failed, where, why."""
    return StoreError(f"{what} {shown(url)}: {reason(error, sqlite_file(url))}")


def reason(error: DBAPIError, file: Path | None) -> str:
    """Return the database's own words for why it failed, with what to do where we know it."""
    words = (str(error.orig).strip() or type(error.orig).__name__).splitlines()[0]
    if file is None:
        return postgres.reason(words)
    if "not a database" in words:
        return no_database(words)
    if "locked" in words:
        return f"{words}: another process holds it, try again when that has ended"
    if "readonly" in words or "unable to open" in words:
        return f"{words}; check the permissions of the file and of its folder {file.parent}"
    return words
