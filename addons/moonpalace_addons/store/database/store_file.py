"""Detect that the file of an open store was deleted or replaced, and open the current one."""

import logging
from pathlib import Path

from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import prepare_file, sqlite_file
from moonpalace_addons.store.database.opening import bring_up_to_date

logger = logging.getLogger(__name__)


type Identity = tuple[int, int] | None


class StoreFile:
    """The file that an engine has open. SQLite keeps writing to a deleted file, whose rows would be lost."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._file = sqlite_file(engine.url)
        self._open = identity(self._file) if self._file else None
        self._log: Identity = None

    def follow(self) -> bool:
        """Open the file that has the name now, or create one; return False if it is unchanged.

        Raises StoreError, OSError or a database error if it is not a usable store.
        """
        if self._file is None:
            return False
        log = self._file.with_name(f"{self._file.name}-wal")
        current = identity(self._file)
        if current is not None and current == self._open:
            self._log = identity(log)
            return False
        self._engine.dispose()
        if self._log is not None and identity(log) == self._log:
            # SQLite would apply the old file's log to the new file.
            log.unlink()
        prepare_file(self._file, create=True)
        bring_up_to_date(self._engine, self._engine.url)
        self._open = identity(self._file)
        logger.warning("store: %s was deleted or replaced; calls are stored in the file that is there now", self._file)
        return True


def identity(path: Path) -> Identity:
    """Return the device and the inode of a file; None if it does not exist."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
