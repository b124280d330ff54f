"""Open the store that a command works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from moonpalace_addons.errors import NotFoundError, StoreError
from moonpalace_cli.deferred_imports import ASYNCIO, defer, uncollected

if TYPE_CHECKING:
    from sqlalchemy import Engine


NOTHING_STORED = "no call is stored yet: run mpal start and make a call through it"


def is_empty(database: str) -> bool:
    """Return whether a store has no calls, far faster than by opening it; False if that cannot be determined.

    Raise StoreError for a file that does not exist.
    """
    from moonpalace_addons.store.database import file_checks  # with sqlite3, 0.01 s

    file = file_checks.file_of(database)
    if file is None:
        return False
    if not file.exists():
        raise file_checks.missing(file)
    return file_checks.has_no_calls(file)


@contextmanager
def opened(database: str, *, needs_calls: bool = False) -> Iterator[Engine]:
    """Yield an engine on the store; turn database errors into a StoreError of one line.

    Raise NotFoundError for a command that `needs_calls` where there are none.
    """
    if needs_calls and is_empty(database):
        raise NotFoundError(NOTHING_STORED)
    # asyncio, with the TLS library that it imports, would take an eighth of the time of `mpal list`.
    defer("asyncio", ASYNCIO)
    with uncollected():
        # 0.3 s, which `mpal list --help` and shell completion need not pay.
        from moonpalace_addons.store.database.opening import open_store

    engine = open_store(database)
    try:
        with reporting_refusals():
            yield engine
    finally:
        engine.dispose()


@contextmanager
def reporting_refusals() -> Iterator[None]:
    """Turn database errors into a StoreError of one line."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        reason = getattr(error, "orig", None) or error
        raise StoreError(f"the database refuses: {str(reason).strip().splitlines()[0]}") from error
