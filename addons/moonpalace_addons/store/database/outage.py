"""Distinguish a store that is temporarily unavailable from a call that it will never accept."""

import logging
import sqlite3
import time

from sqlalchemy.exc import DatabaseError, DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database import postgres

logger = logging.getLogger(__name__)


def is_store_failure(error: Exception) -> bool:
    """Return whether an error is certainly the store's fault: it is locked, full, read-only, damaged or missing.

    Other errors may be, too; that shows only when the store accepts other calls at the same time.
    """
    if isinstance(error, OSError | StoreError | PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError) or getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        return False  # SQLite's generic error concerns the statement, e.g. a missing table
    # SQLite raises the bare class if the file is damaged or no longer a database.
    return postgres.is_unavailable(error) or type(error) is DatabaseError


def is_refusal(error: Exception) -> bool:
    """Return whether an error is certainly caused by the data, or by a bug of ours."""
    return not isinstance(error, SQLAlchemyError | OSError) or isinstance(error, IntegrityError | DataError)


def words(error: Exception) -> str:
    """Return the first line of an error's message."""
    message = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    return message.splitlines()[0] if message else type(error).__name__


class Outage:
    """The current outage of the store, if any; logs when it begins, when it ends, and when no call waits any more."""

    def __init__(self) -> None:
        self.words: str | None = None
        self._since = 0.0
        self._waited: int | None = None
        """Number of calls stored so far that had waited for the store; None while no call waits for it."""

    @property
    def duration(self) -> float:
        """Return the seconds since the outage began, 0 if there is none."""
        return time.monotonic() - self._since if self.words is not None else 0.0

    def report(self, error: Exception) -> None:
        """Note that the store is unavailable."""
        if self.words is None:
            self._since = time.monotonic()
            logger.warning("store: %s; calls continue, their rows wait in memory", words(error))
            self._waited = self._waited or 0
        self.words = words(error)

    def count(self, stored: int) -> None:
        """Count calls that were stored, if they had to wait for the store."""
        if self._waited is not None:
            self._waited += stored

    def caught_up(self) -> None:
        """Note that no call waits any more."""
        if self._waited:
            logger.warning("store: %d calls that had waited are stored", self._waited)
        self._waited = None

    def over(self) -> None:
        """Note that the store is available again; waiting calls are still to be stored."""
        if self.words is not None:
            logger.warning("store: works again")
            self.words = None
