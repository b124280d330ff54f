"""Check what a file is before anything about it is changed."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.incoming import legacy
from moonpalace_addons.store.revision import REVISION

MAGIC = b"SQLite format 3\x00"
WAL_MODE = 2
"""Byte 18 of an SQLite file in WAL mode."""

BUSY_TIMEOUT = 5.0
CHECK_TIMEOUT = 0.1
"""Seconds to wait for another process's lock: to read a file, and to check what it is."""

ADVICE = "give another database with --database"


def is_store_file(file: Path) -> bool:
    """Return whether a file is empty or a store, ours or the original MoonPalace's, without changing it.

    Return False if that cannot be determined now, for instance because another process has locked it. Raise StoreError
    if the file is something else.
    """
    try:
        kind, size = file.stat().st_mode, file.stat().st_size
        if not stat.S_ISREG(kind):
            what = "a folder" if stat.S_ISDIR(kind) else "not a regular file"
            raise StoreError(f"cannot open {file}: it is {what}; {ADVICE}")
        if not size:
            return True
        with file.open("rb") as opened:
            beginning = opened.read(len(MAGIC))
    except OSError:
        return False
    if beginning != MAGIC:
        raise StoreError(f"cannot open {file}: {not_a_database('file is not a database')}")
    try:
        with closing(sqlite3.connect(check_uri(file), uri=True, timeout=CHECK_TIMEOUT)) as connection:
            tables = legacy.table_names(connection)
            is_store = not tables or legacy.is_ours(connection) or legacy.is_legacy(connection)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise StoreError(f"cannot open {file}: {not_a_database(str(error))}") from error
        return False
    if not is_store:
        raise StoreError(f"{file} holds other tables than MoonPalace's: {ADVICE}")
    return True


def not_a_database(words: str) -> str:
    """Return the message for a file that is not a database; `words` is SQLite's message."""
    return f"it is not an SQLite database ({words}); move it away or give another with --database"


def check_uri(file: Path) -> str:
    """Return the URI that opens a file for a short check, which leaves no files next to it."""
    real = file.resolve()
    log = real.with_name(f"{real.name}-wal")
    return f"{real.as_uri()}?{'mode=ro' if log.exists() and log.stat().st_size else 'immutable=1'}"


def file_of(url: str) -> Path | None:
    """Return the file of an SQLite URL; None for any other URL and for one that needs to be parsed."""
    path = url.removeprefix("sqlite:///")
    return None if path in (url, "", ":memory:") or "?" in path or "%" in path else Path(path)


def missing(file: Path) -> StoreError:
    """Return the error for a store that is not there."""
    return StoreError(f"there is no database at {file}: run mpal start and make a call through it, or give --database")


def has_no_calls(file: Path) -> bool:
    """Return whether a file is a store of this version without any call; False if that cannot be determined now."""
    try:
        with closing(sqlite3.connect(check_uri(file), uri=True, timeout=CHECK_TIMEOUT)) as connection:
            is_current = list(connection.execute("SELECT version_num FROM alembic_version")) == [(REVISION,)]
            return is_current and connection.execute("SELECT id FROM exchanges LIMIT 1").fetchone() is None
    except (sqlite3.Error, OSError):
        return False


def read_only(file: Path) -> sqlite3.Connection:
    """Open an SQLite file for reading."""
    connection = sqlite3.connect(read_only_uri(file), uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    return connection


def read_only_uri(file: Path) -> str:
    """Return the URI that opens a file without changing it or leaving files next to it.

    To read a file in WAL mode SQLite creates two files next to it, which only a connection that may write removes. An
    existing log stays; a file that nobody can write to is opened as immutable.
    """
    file = file.resolve()  # SQLite's files are next to the target of a symlink
    with file.open("rb") as opened:
        header = opened.read(20)
    log = file.with_name(file.name + "-wal")
    mode = "mode=ro"
    if header[18:19] == bytes([WAL_MODE]) and not (log.exists() and log.stat().st_size):
        mode = "mode=rw" if is_writable(file) else "immutable=1"
    return f"{file.absolute().as_uri()}?{mode}"


def is_writable(file: Path) -> bool:
    """Return whether this process may write to the file and to its folder."""
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
