"""Turn a file of the original MoonPalace into one of ours: backed up first, then replaced in one transaction.

Our file is built in a folder beside the old one, whose exclusive lock is held all the while, and then copied over the
old one's pages by SQLite itself. Killed at any moment, the file is the old one (SQLite rolls a half copy back when it
is opened next) or the new one. It stays the same file, so that other processes that have it open see the new tables
or wait; and nothing of the old content is left in it, secrets included: the backup alone has that.
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
from moonpalace_addons.store.incoming import legacy, legacy_calls
from moonpalace_addons.store.incoming.transfer import batches, insert_calls
from moonpalace_addons.store.incoming.transfer_rows import begin_ids_after

logger = logging.getLogger(__name__)

BUSY_TIMEOUT = 5.0
"""Seconds that a lock of another process is waited for, unless that process upgrades the file."""
POLL = 0.05
SPARE = 16 * 1024 * 1024
COPIES = 3
"""The backup, the new file, and the journal of the copy: what must fit on the disk at once."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files of an upgrade; `folder` is there only while one runs, or after one was killed."""

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
        """Return the backup while it is made."""
        return self.folder / "backup.sqlite"


def wait_for_other(file: Path) -> bool:
    """Wait while another process upgrades this file; return False at once if none does."""
    if not Places(file).folder.exists() or not is_locked(file):
        return False
    logger.warning("waiting for another process that upgrades %s", file)
    while Places(file).folder.exists() and is_locked(file):
        time.sleep(POLL)
    return True


def is_locked(file: Path) -> bool:
    """Tell whether another process keeps this one from reading the file."""
    try:
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=POLL)
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
    """Back a file of the original up and replace it; False if it is neither the original's nor ours.

    Of several processes that do this at once, one does it while the others wait. Raises StoreError with one line for
    whatever stands against it; the file is then what it was.
    """
    old = open_alone(file)
    if isinstance(old, bool):
        return old
    try:
        check_space(file)
        make_private(file)
        number, backup = exchange(old, Places(file))
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        why = getattr(error, "strerror", None) or getattr(error, "orig", None) or error
        raise StoreError(f"cannot upgrade {file}, which is as it was: {why}") from error
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
    """Build the new file, back the old one up and replace it; return how many calls there are, and the backup."""
    shutil.rmtree(places.folder, ignore_errors=True)  # what a killed upgrade left: we alone hold the file
    places.folder.mkdir(mode=0o700)
    try:
        number = build(old, places)
        backup = back_up(old, places)
        try:
            replace(old, places)
        except BaseException:
            backup.unlink()  # of a file that is still there; one more for each try would fill the disk
            raise
    finally:
        shutil.rmtree(places.folder, ignore_errors=True)
    return number, backup


def open_alone(file: Path) -> sqlite3.Connection | bool:
    """Open a file of the original so that no other process reads or writes it until the connection is closed.

    Of another file, return whether it is ours; nothing is changed about it.
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
                deadline = time.monotonic() + BUSY_TIMEOUT  # another process upgrades it
            elif time.monotonic() > deadline:
                words = "another process has it open: end that, then try again"
                raise StoreError(refused(file, words)) from error
        time.sleep(POLL)


def lock(file: Path) -> sqlite3.Connection | None:
    """Open a file of the original for this process alone; None if another process has just replaced it."""
    connection = connect(file)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")  # which keeps the lock, in this mode
        if legacy.is_legacy(connection):
            # Also takes in the write-ahead log of a file that has one, and leaves nothing in the journal.
            connection.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
            connection.execute("PRAGMA synchronous = FULL")
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def connect(file: Path) -> sqlite3.Connection:
    """Open an SQLite file without the driver's own transactions."""
    return sqlite3.connect(file, timeout=POLL, isolation_level=None, check_same_thread=False)


def refused(file: Path, why: str) -> str:
    """Return the message for a file that cannot be upgraded."""
    words = f"{why}; check the permissions of the file and of its folder" if "readonly" in why else why
    return f"{file} was written by the original MoonPalace and cannot be upgraded: {words}"


def check_space(file: Path) -> None:
    """Raise StoreError if the disk has no room for an upgrade."""
    needed = COPIES * file.stat().st_size + SPARE
    free = shutil.disk_usage(file.parent).free
    if free < needed:
        raise StoreError(
            f"cannot upgrade {file}, which is as it was: that needs {megabytes(needed)} MB"
            f" in {file.parent}, {megabytes(free)} are free"
        )


def megabytes(size: int) -> int:
    """Return a size in whole megabytes, rounded up."""
    return -(-size // 1_000_000)


def make_private(file: Path) -> None:
    """Take the file from other users, and its folder where that is the original's own."""
    with suppress(PermissionError):  # shared with its owner, who alone may do that
        file.chmod(0o600)
        if file.parent.name == ".moonpalace":
            file.parent.chmod(0o700)


def back_up(old: sqlite3.Connection, places: Places) -> Path:
    """Copy the old file beside itself under a name that is free; return the path. It is on the disk then."""
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
    """Give a file a name that no other has; raises FileExistsError if one has it."""
    try:
        os.link(file, name)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: the name is taken first, which a kill would leave empty
        os.close(os.open(name, os.O_CREAT | os.O_EXCL, 0o600))
        file.replace(name)


def beginning(file: Path) -> str:
    """Return what the names of a file's backups begin with."""
    return file.name.removesuffix(".sqlite") + ".original-"


def backups(file: Path) -> list[Path]:
    """Return the backups of the original's files that this one has been made from."""
    return sorted(path for path in file.parent.glob("*.sqlite") if path.name.startswith(beginning(file)))


def sync_folder(folder: Path) -> None:
    """Put the names in a folder onto the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def build(old: sqlite3.Connection, places: Places) -> int:
    """Write the new file, all calls in one transaction; return how many."""
    # Here, as the engine itself calls this module.
    from moonpalace_addons.store.database.engine import open_store

    try:
        engine = open_store(f"sqlite:///{places.new}", create=True)
    except StoreError as error:
        raise error.__cause__ or error from error  # what is wrong with a file that no user has heard of
    try:
        return fill(engine, old, otherwise=places.file.stat().st_mtime_ns // 1000)
    finally:
        engine.dispose()


def fill(engine: Engine, old: sqlite3.Connection, *, otherwise: int) -> int:
    """Insert the old file's calls under their own numbers; return how many."""
    from moonpalace_addons.store.database.engine import writing
    from moonpalace_addons.store.upkeep.indexing import catch_up

    number = 0
    with writing(engine) as connection:
        for batch in batches(legacy_calls.calls(legacy.rows(old), otherwise=otherwise)):
            insert_calls(connection, batch, keep_ids=True)
            number += len(batch)
        begin_ids_after(connection, legacy.greatest_id(old))
    catch_up(engine)
    return number


def replace(old: sqlite3.Connection, places: Places) -> None:
    """Copy the new file's pages over the old one's, in one transaction of SQLite's."""
    new = sqlite3.connect(places.new)
    try:
        new.backup(old)
    finally:
        new.close()
    # Empty by now; still ours alone, and a file in WAL mode has no use for it.
    places.file.with_name(places.file.name + "-journal").unlink(missing_ok=True)
