"""Open a store: create the file, check that it is a store, upgrade its schema."""

from sqlalchemy import Engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.engine import (
    check_encoding,
    make_engine,
    migrate,
    parse_url,
    prepare_file,
    refusal,
    set_layout,
    shown,
    sqlite_file,
    writing,
)
from moonpalace_addons.store.revision import REVISION

MIGRATION_LOCK_TIMEOUT = 60.0
"""Seconds to wait for another process's migrations; long enough for a remote server."""


def open_store(url: str, *, create: bool = False) -> Engine:
    """Return an engine on the store at `url`; `create` creates a missing store.

    Raises StoreError with a one-line message if the store cannot be used. The message never contains a password.
    """
    parsed = parse_url(url)
    file = sqlite_file(parsed)
    if file is not None:
        prepare_file(file, create=create)
    engine = make_engine(parsed)
    try:
        open_or_wait(engine, parsed)
    except DBAPIError as error:
        engine.dispose()
        raise refusal("cannot open", parsed, error) from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def open_or_wait(engine: Engine, url: URL) -> None:
    """Upgrade the schema; wait first if another process is converting the original MoonPalace's file."""
    try:
        bring_up_to_date(engine, url)
    except DBAPIError:
        from moonpalace_addons.store.incoming.upgrade import wait_for_other

        file = sqlite_file(url)
        if file is None or not wait_for_other(file):
            raise
        bring_up_to_date(engine, url)


def bring_up_to_date(engine: Engine, url: URL) -> None:
    """Check that the database is ours and run missing migrations."""
    revision = current_revision(engine, url)
    if revision == REVISION:
        return
    if revision is not None and revision > REVISION:
        raise StoreError(
            f"{shown(url)} was written by a newer MoonPalace (schema {revision}, this one knows {REVISION}): upgrade"
        )
    if engine.dialect.name == "sqlite":
        set_layout(engine)
    # Other processes that start at the same time wait here and then find the migrations applied.
    with writing(engine, alone=True, patience=MIGRATION_LOCK_TIMEOUT) as connection:
        check_encoding(connection, url)
        migrate(connection)


def current_revision(engine: Engine, url: URL) -> str | None:
    """Return the schema's revision, None for an empty database; raises StoreError if the database is not ours."""
    with engine.connect() as connection:
        tables = set(inspect(connection).get_table_names())
        if not tables:
            return None
        if "alembic_version" in tables and "exchanges" in tables:
            revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return revision
    file = sqlite_file(url)
    if "moonshot_requests" in tables and file is not None:
        from moonpalace_addons.store.incoming.upgrade import upgrade  # once in the life of a file

        engine.dispose()
        if upgrade(file):
            return current_revision(engine, url)
    raise StoreError(f"{shown(url)} holds other tables than MoonPalace's: give another database with --database")
