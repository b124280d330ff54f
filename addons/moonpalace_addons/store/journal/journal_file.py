"""The file for calls that the store does not accept at present.

It begins with `MAGIC`, which includes the version; frames follow (`framing`). The first frame is a JSON object, the row
of the run that wrote the file; each other frame is a unit as packed by `unit_bytes`. A frame that is damaged, or
truncated by a crash or a full disk, costs only itself, and the file is kept. Units are masked as they would be in the
store.

The process that writes a journal, or reads it into the store, keeps it locked; no other process touches it meanwhile.
Reading a file again, because its reader died before deleting it, changes nothing in the store.
"""

import json
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from io import FileIO
from itertools import count
from pathlib import Path

from moonpalace_addons.store.database.file_lock import try_lock
from moonpalace_addons.store.journal.framing import HEAD, framed, frames, read_at, write_at
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import RUNS
from moonpalace_addons.store.write.storable import storable

MAGIC = b"MoonPalace journal 1\n"

KEPT_SUFFIX = ".kept"
"""Appended to the name of a journal with calls that could not be stored."""

RUN_TYPES = {column.name: column.type.python_type for column in RUNS.columns}
REQUIRED_COLUMNS = {"id", "host", "pid", "version"}
RUN_ID = re.compile(r"\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-[0-9]+)?\.journal$")
MAX_ID_LENGTH = 36
MAX_HEAD_BYTES = 4096
"""An upper bound for the size of a journal's head."""


class Journal:
    """An open, locked journal: frames are appended at its end and consumed from its beginning."""

    def __init__(self, path: Path, file: FileIO, begin: int, end: int, run: Values) -> None:
        self.path = path
        self.run = run
        self._file = file
        self._taken = begin
        self._end = end

    @classmethod
    def create(cls, path: Path, run: Values) -> "Journal":
        """Create a journal with mode 0600; raises OSError."""
        file = FileIO(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o600), "r+")
        head = MAGIC + framed(json.dumps(run).encode())
        try:
            try_lock(file.fileno())  # always succeeds, because the name is new
            write_at(file, 0, head)
        except BaseException:
            file.close()
            path.unlink(missing_ok=True)
            raise
        return cls(path, file, len(head), len(head), run)

    @classmethod
    def claim(cls, path: Path) -> "Journal | None":
        """Open a journal that a dead proxy left; None if its writer is alive, another proxy reads it, or it is empty.

        Raises ValueError for a file that is not ours or whose head cannot be read, OSError if it cannot be opened. A
        journal of ours with a damaged head is kept under another name.
        """
        try:
            file = opened(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            # Before it was locked, another proxy may have read it and deleted it.
            if not (try_lock(file.fileno()) and is_at(file, path)):
                file.close()
                return None
            size = os.fstat(file.fileno()).st_size
            head = read_head(file, size)
        except BaseException:
            file.close()
            raise
        run = run_of(head[0]) if head and head[0] is not None else None
        if head is not None and run is not None:
            return cls(path, file, head[1], size, run)
        if head is not None or not is_unfinished(path, file, size):
            raise ValueError(f"its beginning is damaged; it is kept as {keep(path, file)}")
        delete(path, file)
        return None

    @property
    def taken(self) -> int:
        """Return the offset up to which the frames have been stored."""
        return self._taken

    @property
    def waiting(self) -> int:
        """Return the number of bytes still to be stored."""
        return self._end - self._taken

    def add(self, contents: Sequence[bytes]) -> None:
        """Append frames and sync them to disk; raises OSError, and appends nothing in that case."""
        data = b"".join(framed(content) for content in contents)
        try:
            write_at(self._file, self._end, data)
            os.fsync(self._file.fileno())
        except OSError:
            # Frees the space of the partial write, which the next frames would overwrite in any case.
            self._file.truncate(self._end)
            raise
        self._end += len(data)

    def frames(self) -> Iterator[tuple[bytes | None, int]]:
        """Yield content and end offset of the frames still to be stored; the content of a damaged one is None."""
        return frames(self._file, self._taken, self._end)

    def done(self, end: int) -> None:
        """Mark the frames before `end` as stored."""
        self._taken = end

    def close(self) -> None:
        """Close the file and release its lock."""
        self._file.close()

    def delete(self) -> None:
        """Delete the file, all of which has been stored."""
        delete(self.path, self._file)

    def keep(self) -> Path:
        """Close the file and keep it under another name for inspection; return the new path."""
        return keep(self.path, self._file)


def opened(path: Path, flags: int) -> FileIO:
    """Open a possible journal without blocking; raises ValueError if it cannot be one, OSError if opening fails."""
    if path.is_symlink():
        raise ValueError("it is a link")
    for name in ("O_BINARY", "O_NONBLOCK", "O_NOFOLLOW"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags)
    file = FileIO(descriptor, "r+" if flags & os.O_RDWR else "r")
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and (sys.platform == "win32" or os.geteuid() in (0, status.st_uid)):
        return file
    file.close()
    raise ValueError("it belongs to another user" if stat.S_ISREG(status.st_mode) else "it is not a regular file")


def read_head(file: FileIO, size: int) -> tuple[bytes | None, int] | None:
    """Return the content (None if damaged) and the end offset of the first frame; None if the frame is truncated.

    Raises ValueError if the file was not written by this version of MoonPalace.
    """
    if not MAGIC.startswith(read_at(file, 0, len(MAGIC))):
        raise ValueError("another version of MoonPalace wrote it, or none at all")
    return next(frames(file, len(MAGIC), size), None)


def run_of(content: bytes) -> Values | None:
    """Return the row of a run, without columns that this version does not know; None if it is invalid."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    run = {name: value for name, value in values.items() if name in RUN_TYPES}
    types = {name: type(value) for name, value in run.items()}
    is_one = (
        types == {name: RUN_TYPES[name] for name in run} and types.keys() >= REQUIRED_COLUMNS and storable(run) == run
    )
    return run if is_one and len(str(run["id"])) <= MAX_ID_LENGTH else None


def is_unfinished(path: Path, file: FileIO, size: int) -> bool:
    """Return whether a file with an incomplete head is a journal whose writer died while creating it.

    It contains no unit then: units begin with non-ASCII bytes, while the head's JSON is ASCII.
    """
    is_short = size < MAX_HEAD_BYTES and RUN_ID.search(path.name) is not None
    return is_short and read_at(file, len(MAGIC) + HEAD.size, MAX_HEAD_BYTES).isascii()


def keep(path: Path, file: FileIO) -> Path:
    """Rename an open file to a name that no proxy reads, and close it; return the new path."""
    names = (path.with_name(f"{path.name}{KEPT_SUFFIX}{'' if number == 1 else f'-{number}'}") for number in count(1))
    free = next(name for name in names if not name.exists())
    if sys.platform == "win32":
        file.close()
    path.rename(free)
    file.close()
    return free


def delete(path: Path, file: FileIO) -> None:
    """Delete an open file before closing it; on Windows, where that is impossible, after closing it."""
    if sys.platform == "win32":
        file.close()
    path.unlink(missing_ok=True)
    file.close()


def is_at(file: FileIO, path: Path) -> bool:
    """Return whether `path` still refers to the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def why(error: OSError | ValueError) -> str:
    """Return the reason why a file is not a journal, without its name."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
