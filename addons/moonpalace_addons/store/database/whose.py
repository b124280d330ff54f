"""Look whose a file is before anything about it is changed."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.incoming import legacy

MAGIC = b"SQLite format 3\x00"
WAL_MODE = 2
"""Byte 18 of an SQLite file in WAL mode."""

BUSY_TIMEOUT = 5.0
LOOK_TIMEOUT = 0.1
"""Seconds that a lock of another process is waited for, to read a file, and only to know whose it is."""

ELSE = "give another database with --database"


def is_known(file: Path) -> bool:
    """Tell whether a file is a store, of ours or of the original, or empty; nothing about it is changed.

    False if that cannot be told at present, as while another process has it locked. Raises StoreError if it is
    something else, whose owner must not find it changed.
    """
    try:
        kind, size = file.stat().st_mode, file.stat().st_size
        if not stat.S_ISREG(kind):
            what = "a folder" if stat.S_ISDIR(kind) else "no plain file"
            raise StoreError(f"cannot open {file}: it is {what}; {ELSE}")
        if not size:
            return True
        with file.open("rb") as opened:
            beginning = opened.read(len(MAGIC))
    except OSError:
        return False
    if beginning != MAGIC:
        raise StoreError(f"cannot open {file}: {no_database('file is not a database')}")
    try:
        with closing(sqlite3.connect(look_uri(file), uri=True, timeout=LOOK_TIMEOUT)) as connection:
            tables = legacy.table_names(connection)
            is_store = not tables or legacy.is_ours(connection) or legacy.is_legacy(connection)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise StoreError(f"cannot open {file}: {no_database(str(error))}") from error
        return False
    if not is_store:
        raise StoreError(f"{file} holds other tables than MoonPalace's: {ELSE}")
    return True


def no_database(words: str) -> str:
    """Return why a file cannot be used that is something else than a database, of which SQLite says these words."""
    return f"it is not an SQLite database ({words}); move it away or give another with --database"


def look_uri(file: Path) -> str:
    """Return the URI that opens a file for a short look, which leaves nothing beside it."""
    real = file.resolve()
    log = real.with_name(f"{real.name}-wal")
    return f"{real.as_uri()}?{'mode=ro' if log.exists() and log.stat().st_size else 'immutable=1'}"


def read_only(file: Path) -> sqlite3.Connection:
    """Open an SQLite file for reading."""
    connection = sqlite3.connect(read_only_uri(file), uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    return connection


def read_only_uri(file: Path) -> str:
    """Return the URI that opens a file without changing it, nor leaving anything beside it.

    To read a file in WAL mode SQLite makes two files beside it, which only a connection that may write takes away
    again. Where there is a log already, it stays; where nobody can write, nothing changes and nothing is needed.
    """
    file = file.resolve()  # what SQLite has beside it is beside what a link leads to
    with file.open("rb") as opened:
        header = opened.read(20)
    log = file.with_name(file.name + "-wal")
    mode = "mode=ro"
    if header[18:19] == bytes([WAL_MODE]) and not (log.exists() and log.stat().st_size):
        mode = "mode=rw" if is_writable(file) else "immutable=1"
    return f"{file.absolute().as_uri()}?{mode}"


def is_writable(file: Path) -> bool:
    """Tell whether this process may write the file and into its folder."""
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
