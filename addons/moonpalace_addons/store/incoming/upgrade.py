"""Upgrade a database file of the original MoonPalace: back it up, then replace its content in one transaction.

The new database is built in a folder next to the old file, which stays exclusively locked, and then copied over the old
pages with SQLite's backup API. If the process is killed at any point, the file is either the old one (SQLite rolls back
a partial copy when it is next opened) or the new one. It remains the same file, so other processes that have it open
see the new tables or wait. None of the old content, including secrets, remains in it; only the backup has that.
"""

import logging
import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.engine import make_store, writing
from moonpalace_addons.store.incoming import legacy, legacy_calls
from moonpalace_addons.store.incoming.transfer import batches, insert_calls
from moonpalace_addons.store.incoming.transfer_rows import begin_ids_after
from moonpalace_addons.store.upkeep.indexing import catch_up

logger = logging.getLogger(__name__)

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process's lock, unless that process is upgrading the file."""
POLL_INTERVAL = 0.05
MIN_SPARE_BYTES = 16 * 1024 * 1024
COPIES = 3
"""Copies that must fit on the disk at once: the backup, the new file, and the journal of the copy."""


@dataclass(frozen=True, slots=True)
class Places:
    """The paths of an upgrade; `folder` exists only while one runs, or after one was killed."""

    file: Path

    @property
    def folder(self) -> Path:
        """Return the folder in which the new file is built."""
        return self.file.with_name(f".{self.file.name}.upgrade")

    @property
    def new(self) -> Path:
        """Return the new file while it is built."""
        return self.folder / "new.sqlite"

    @property
    def copy(self) -> Path:
        """Return the backup while it is being written."""
        return self.folder / "backup.sqlite"


def wait_for_other(file: Path) -> bool:
    """Wait while another process upgrades this file; return False at once if there is none."""
    if not Places(file).folder.exists() or not is_locked(file):
        return False
    logger.warning("waiting for another process that is upgrading %s", file)
    while Places(file).folder.exists() and is_locked(file):
        time.sleep(POLL_INTERVAL)
    return True


def is_locked(file: Path) -> bool:
    """Return whether another process's lock prevents reading the file."""
    try:
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=POLL_INTERVAL)
    except sqlite3.Error:
        return False
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError as error:
        return "locked" in str(error)
    finally:
        connection.close()
    return False


def upgrade(file: Path) -> bool:
    """Back up and replace a file of the original; return False if it is neither the original's nor ours.

    If several processes try at once, one does it while the others wait. Raises StoreError with a one-line message if it
    fails; the file is unchanged in that case.
    """
    old = open_exclusively(file)
    if isinstance(old, bool):
        return old
    try:
        check_space(file)
        make_private(file)
        number, backup = exchange(old, Places(file))
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        why = getattr(error, "strerror", None) or getattr(error, "orig", None) or error
        raise StoreError(f"cannot upgrade {file}, which is unchanged: {why}") from error
    finally:
        old.close()
    logger.warning(
        "%s was written by the original MoonPalace and has been upgraded, %s; the old file, with the keys and cookies"
        " that it may hold, is kept as %s",
        file,
        "1 call" if number == 1 else f"{number} calls",
        backup,
    )
    return True


def exchange(old: sqlite3.Connection, places: Places) -> tuple[int, Path]:
    """Build the new file, back up the old one and replace it; return the number of calls and the backup's path."""
    shutil.rmtree(places.folder, ignore_errors=True)  # left by a killed upgrade; we hold the lock
    places.folder.mkdir(mode=0o700)
    try:
        number = build(old, places)
        backup = back_up(old, places)
        try:
            replace(old, places)
        except BaseException:
            backup.unlink()  # the file is unchanged, and a backup per attempt would fill the disk
            raise
    finally:
        shutil.rmtree(places.folder, ignore_errors=True)
    return number, backup


def open_exclusively(file: Path) -> sqlite3.Connection | bool:
    """Open a file of the original with an exclusive lock, held until the connection is closed.

    For any other file, return whether it is ours, without changing it.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            with closing(connect(file)) as connection:
                if not legacy.is_legacy(connection):
                    return legacy.is_ours(connection)
            if alone := lock(file):
                return alone
        except sqlite3.Error as error:
            if "locked" not in str(error):
                raise StoreError(refused(file, str(error))) from error
            if Places(file).folder.exists():
                deadline = time.monotonic() + BUSY_TIMEOUT  # another process is upgrading it
            elif time.monotonic() > deadline:
                words = "another process has it open: end that, then try again"
                raise StoreError(refused(file, words)) from error
        time.sleep(POLL_INTERVAL)


def lock(file: Path) -> sqlite3.Connection | None:
    """Open a file of the original with an exclusive lock; None if another process has just replaced it."""
    connection = connect(file)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")  # keeps the lock in this locking mode
        if legacy.is_legacy(connection):
            # Also checkpoints an existing write-ahead log, and leaves the journal empty.
            connection.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
            connection.execute("PRAGMA synchronous = FULL")
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def connect(file: Path) -> sqlite3.Connection:
    """Open an SQLite file without the driver's transaction handling."""
    return sqlite3.connect(file, timeout=POLL_INTERVAL, isolation_level=None, check_same_thread=False)


def refused(file: Path, why: str) -> str:
    """Return the message for a file that cannot be upgraded."""
    words = f"{why}; check the permissions of the file and of its folder" if "readonly" in why else why
    return f"{file} was written by the original MoonPalace and cannot be upgraded: {words}"


def check_space(file: Path) -> None:
    """Raise StoreError if the disk has too little free space for an upgrade."""
    needed = COPIES * file.stat().st_size + MIN_SPARE_BYTES
    free = shutil.disk_usage(file.parent).free
    if free < needed:
        raise StoreError(
            f"cannot upgrade {file}, which is unchanged: that needs {megabytes(needed)} MB"
            f" in {file.parent}, {megabytes(free)} are free"
        )


def megabytes(size: int) -> int:
    """Return a size in whole megabytes, rounded up."""
    return -(-size // 1_000_000)


def make_private(file: Path) -> None:
    """Remove other users' permissions on the file, and on its folder if it is the original's."""
    with suppress(PermissionError):  # only its owner may change it
        file.chmod(0o600)
        if file.parent.name == ".moonpalace":
            file.parent.chmod(0o700)


def back_up(old: sqlite3.Connection, places: Places) -> Path:
    """Copy the old file under a free name next to it, synced to disk; return the path."""
    os.close(os.open(places.copy, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    copy = sqlite3.connect(places.copy)
    try:
        old.backup(copy)
    finally:
        copy.close()
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    for number in count(1):
        ending = f"{stamp}{f'-{number}' if number > 1 else ''}.sqlite"
        backup = places.file.with_name(beginning(places.file) + ending)
        try:
            give_name(places.copy, backup)
        except FileExistsError:
            continue
        sync_folder(places.file.parent)
        return backup
    raise AssertionError("numbers never run out")


def give_name(file: Path, name: Path) -> None:
    """Rename a file; raises FileExistsError if the name is taken."""
    try:
        os.link(file, name)
    except FileExistsError:
        raise
    except OSError:  # no hard links: reserve the name with an empty file, which a kill may leave
        os.close(os.open(name, os.O_CREAT | os.O_EXCL, 0o600))
        file.replace(name)


def beginning(file: Path) -> str:
    """Return the prefix of the names of a file's backups."""
    return file.name.removesuffix(".sqlite") + ".original-"


def backups(file: Path) -> list[Path]:
    """Return the backups of the original's files from which this one was made."""
    return sorted(path for path in file.parent.glob("*.sqlite") if path.name.startswith(beginning(file)))


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries to disk, if the system supports it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def build(old: sqlite3.Connection, places: Places) -> int:
    """Write the new file, all calls in one transaction; return their number."""
    try:
        engine = make_store(places.new)
    except StoreError as error:
        raise error.__cause__ or error from error  # the new file's name means nothing to the user
    try:
        return fill(engine, old, otherwise=places.file.stat().st_mtime_ns // 1000)
    finally:
        engine.dispose()


def fill(engine: Engine, old: sqlite3.Connection, *, otherwise: int) -> int:
    """Insert the old file's calls under their old ids; return their number."""
    number = 0
    with writing(engine) as connection:
        for batch in batches(legacy_calls.calls(legacy.rows(old), otherwise=otherwise)):
            insert_calls(connection, batch, keep_ids=True)
            number += len(batch)
        begin_ids_after(connection, legacy.greatest_id(old))
    catch_up(engine)
    return number


def replace(old: sqlite3.Connection, places: Places) -> None:
    """Copy the new file's pages over the old file in one SQLite transaction."""
    new = sqlite3.connect(places.new)
    try:
        new.backup(old)
    finally:
        new.close()
    # It is empty by now and still locked by us, and a file in WAL mode does not need it.
    places.file.with_name(places.file.name + "-journal").unlink(missing_ok=True)
