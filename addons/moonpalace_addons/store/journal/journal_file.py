"""The file that holds what the store does not take, until it does.

It begins with `MAGIC`, which has the version; frames follow (`framing`). The first frame's content is a JSON
object, the row of the run that wrote the file; that of each other one is a unit, as `unit_bytes` packs it. What a
crash or a full disk has left of a frame, and a frame whose length is damaged, ends the file for readers; what is before
it holds, and the file is kept. A unit is in the file only as it would be in the store: masked.

Its writer keeps the file locked as long as it lives, and so does who takes it in: nobody else touches it meanwhile. A
file that is taken in again, since its reader died before it was deleted, changes nothing in the store.
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

KEPT = ".kept"
"""What is added to the name of a journal of which something could not be stored."""

RUN_TYPES = {column.name: column.type.python_type for column in RUNS.columns}
NEEDED = {"id", "host", "pid", "version"}
RUN_ID = re.compile(r"\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-[0-9]+)?\.journal$")
MAX_ID_LENGTH = 36
MAX_HEAD = 4096
"""Bytes, more than the beginning of any journal has."""


class Journal:
    """An open, locked journal: frames are added at its end and taken from its beginning."""

    def __init__(self, path: Path, file: FileIO, begin: int, end: int, run: Values) -> None:
        self.path = path
        self.run = run
        self._file = file
        self._taken = begin
        self._end = end

    @classmethod
    def create(cls, path: Path, run: Values) -> "Journal":
        """Make a journal for its owner's eyes alone; raises OSError."""
        file = FileIO(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o600), "r+")
        head = MAGIC + framed(json.dumps(run).encode())
        try:
            try_lock(file.fileno())  # nobody else can have it: its name has just been made up
            write_at(file, 0, head)
        except BaseException:
            file.close()
            path.unlink(missing_ok=True)
            raise
        return cls(path, file, len(head), len(head), run)

    @classmethod
    def claim(cls, path: Path) -> "Journal | None":
        """Open a journal that a dead proxy left; None if its writer lives, another proxy takes it in, or it is empty.

        Raises ValueError for a file that is none of ours, or whose beginning cannot be read, OSError if it cannot be
        opened. One of ours whose beginning is damaged is kept under another name.
        """
        try:
            file = opened(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            # Between the opening and the lock, another proxy may have taken it in and deleted it.
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
        """Return up to where the file is done with."""
        return self._taken

    @property
    def waiting(self) -> int:
        """Return how many bytes are still to be taken."""
        return self._end - self._taken

    def add(self, contents: Sequence[bytes]) -> None:
        """Add frames and have them on the disk; raises OSError, and has added nothing then."""
        data = b"".join(framed(content) for content in contents)
        try:
            write_at(self._file, self._end, data)
            os.fsync(self._file.fileno())
        except OSError:
            # What was written of it takes room that others want; the next frames overwrite it in any case.
            self._file.truncate(self._end)
            raise
        self._end += len(data)

    def frames(self) -> Iterator[tuple[bytes | None, int]]:
        """Iterate over the frames that are not done with, each with where it ends; one that is damaged is None."""
        return frames(self._file, self._taken, self._end)

    def done(self, end: int) -> None:
        """Note that what is before `end` is stored."""
        self._taken = end

    def close(self) -> None:
        """Leave the file to who comes next."""
        self._file.close()

    def delete(self) -> None:
        """Delete the file: all of it is stored."""
        delete(self.path, self._file)

    def keep(self) -> Path:
        """Leave the file under another name, for people to look at; return it."""
        return keep(self.path, self._file)


def opened(path: Path, flags: int) -> FileIO:
    """Open a file that may be a journal, without waiting; raises ValueError for what cannot be one, or OSError."""
    if path.is_symlink():
        raise ValueError("it is a link")
    for name in ("O_BINARY", "O_NONBLOCK", "O_NOFOLLOW"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags)
    file = FileIO(descriptor, "r+" if flags & os.O_RDWR else "r")
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and (sys.platform == "win32" or os.geteuid() in (0, found.st_uid)):
        return file
    file.close()
    raise ValueError("it is another user's" if stat.S_ISREG(found.st_mode) else "it is no plain file")


def read_head(file: FileIO, size: int) -> tuple[bytes | None, int] | None:
    """Return the first frame's content, None if it is damaged, and where the frame ends; None if that is cut.

    Raises ValueError if another version of MoonPalace wrote it, or none at all.
    """
    if not MAGIC.startswith(read_at(file, 0, len(MAGIC))):
        raise ValueError("another version of MoonPalace wrote it, or none at all")
    return next(frames(file, len(MAGIC), size), None)


def run_of(content: bytes) -> Values | None:
    """Return the row of a run without the columns that this version does not know, None if it cannot be one."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    run = {name: value for name, value in found.items() if name in RUN_TYPES}
    types = {name: type(value) for name, value in run.items()}
    is_one = types == {name: RUN_TYPES[name] for name in run} and types.keys() >= NEEDED and storable(run) == run
    return run if is_one and len(str(run["id"])) <= MAX_ID_LENGTH else None


def is_unfinished(path: Path, file: FileIO, size: int) -> bool:
    """Tell whether a file without a whole head is a journal whose writer died in the midst of making it.

    Then it has no unit: these begin with bytes that are none of the head's JSON, which is ASCII.
    """
    is_short = size < MAX_HEAD and RUN_ID.search(path.name) is not None
    return is_short and read_at(file, len(MAGIC) + HEAD.size, MAX_HEAD).isascii()


def keep(path: Path, file: FileIO) -> Path:
    """Give an open file another name, by which nobody takes it in, and let it go; return the name."""
    names = (path.with_name(f"{path.name}{KEPT}{'' if number == 1 else f'-{number}'}") for number in count(1))
    free = next(name for name in names if not name.exists())
    if sys.platform == "win32":
        file.close()
    path.rename(free)
    file.close()
    return free


def delete(path: Path, file: FileIO) -> None:
    """Delete an open file, and only then let it go; the other way round where open files cannot be deleted."""
    if sys.platform == "win32":
        file.close()
    path.unlink(missing_ok=True)
    file.close()


def is_at(file: FileIO, path: Path) -> bool:
    """Tell whether an open file is still the one with this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def why(error: OSError | ValueError) -> str:
    """Return what keeps a file from being a journal, without its name."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
