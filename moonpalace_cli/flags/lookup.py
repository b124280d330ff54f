"""Open the store that a command works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from moonpalace_addons.errors import StoreError
from moonpalace_cli.deferred_imports import ASYNCIO, defer

if TYPE_CHECKING:
    from sqlalchemy import Engine


@contextmanager
def opened(database: str) -> Iterator[Engine]:
    """Yield an engine on the store; turn database errors into a StoreError of one line."""
    # asyncio, with the TLS library that it imports, would take an eighth of the time of `mpal list`.
    defer("asyncio", ASYNCIO)
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
