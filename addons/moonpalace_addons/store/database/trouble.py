"""Tell a store that does not work at present from a call that it will never take."""

import logging
import sqlite3
import time

from sqlalchemy.exc import DatabaseError, DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database import postgres

logger = logging.getLogger(__name__)


def passes(error: Exception) -> bool:
    """Tell whether an error is certainly the store's: it is locked, full, read-only, damaged, or gone.

    All that can be said of others is whether the store takes other calls at the same time.
    """
    if isinstance(error, OSError | StoreError | PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError) or getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        return False  # SQLite's general error is about the statement, such as one about a table that is not there
    # SQLite raises the bare class for a file that is damaged, or is no database any more.
    return postgres.is_unavailable(error) or type(error) is DatabaseError


def is_refusal(error: Exception) -> bool:
    """Tell whether an error is certainly the fault of what was to be stored, or ours."""
    return not isinstance(error, SQLAlchemyError | OSError) or isinstance(error, IntegrityError | DataError)


def words(error: Exception) -> str:
    """Return what an error says, in one line."""
    said = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    return said.splitlines()[0] if said else type(error).__name__


class Trouble:
    """The trouble that the store is in, if it is; one line in the log when it comes, one when it goes."""

    def __init__(self) -> None:
        self.words: str | None = None
        self._since = 0.0

    @property
    def lasts(self) -> float:
        """Return for how many seconds the store has been in trouble."""
        return time.monotonic() - self._since if self.words is not None else 0.0

    def report(self, error: Exception) -> None:
        """Note that the store refuses to work."""
        if self.words is None:
            self._since = time.monotonic()
            logger.warning("store: %s; calls go on, their rows wait in memory", words(error))
        self.words = words(error)

    def over(self) -> None:
        """Note that the store works; what has waited meanwhile is still to be stored."""
        if self.words is not None:
            logger.warning("store: works again")
            self.words = None
