"""The file that holds what the store does not take, until it does.

It begins with `MAGIC`, which has the version; frames follow (`framing`). The first frame's content is a JSON
object, the row of the run that wrote the file; that of each other one is a unit, as `unit_bytes` packs it. What a
crash or a full disk has left of a frame ends the file for readers; what is before it holds. A unit is in the file only
as it would be in the store: masked.

Its writer keeps the file locked as long as it lives, and so does who takes it in: nobody else touches it meanwhile. A
file that is taken in again, since its reader died before it was deleted, changes nothing in the store.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from itertools import count
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from moonpalace_addons.store.file_lock import try_lock
from moonpalace_addons.store.journal.framing import framed, frames, read_at, write_at
from moonpalace_addons.store.records.values import Values

MAGIC = b"MoonPalace journal 1\n"


@dataclass(frozen=True, slots=True)
class Slice:
    """Frames of a journal: their contents, where the last one ends, how many bytes after that are not whole frames."""

    contents: list[bytes]
    end: int
    torn: int


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

        Raises ValueError if this version cannot read it, OSError if it cannot be read at all.
        """
        try:
            file = FileIO(path, "r+")
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
        if head is None:
            delete(path, file)
            return None
        return cls(path, file, head[1], size, json.loads(head[0]))

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

    def next(self, most: int) -> Slice:
        """Return frames from the beginning that are not done with: about `most` bytes, at least one frame."""
        contents, end = list[bytes](), self._taken
        for content, end in frames(self._file, self._taken, self._end):
            contents.append(content)
            if end - self._taken >= most:
                break
        return Slice(contents, end, 0 if contents else self.waiting)

    def done(self, end: int) -> None:
        """Note that what is before `end` is stored."""
        self._taken = end

    def close(self) -> None:
        """Leave the file to who comes next."""
        self._file.close()

    def delete(self) -> None:
        """Delete the file: all of it is stored."""
        delete(self.path, self._file)


def read_head(file: FileIO, size: int) -> tuple[bytes, int] | None:
    """Return the first frame's content and where the frame ends; None if its writer died before it was written whole.

    Raises ValueError if that was another version of MoonPalace, or none at all.
    """
    if not MAGIC.startswith(read_at(file, 0, len(MAGIC))):
        raise ValueError("another version of MoonPalace wrote it, or none at all")
    return next(frames(file, len(MAGIC), size), None)


def delete(path: Path, file: FileIO) -> None:
    """Delete an open file, and only then let it go; the other way round where open files cannot be deleted."""
    if os.name != "posix":
        file.close()
    path.unlink(missing_ok=True)
    file.close()


def is_at(file: FileIO, path: Path) -> bool:
    """Tell whether an open file is still the one with this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@dataclass(frozen=True, slots=True)
class Place:
    """Where the journals of one store are: in `folder`, with names that begin with `stem`."""

    folder: Path
    stem: str

    def path(self, run_id: str, number: int = 1) -> Path:
        """Return the journal of a run, or a further one of it."""
        return self.folder / f"{self.stem}.{run_id}{'' if number == 1 else f'-{number}'}.journal"

    def free_path(self, run_id: str) -> Path:
        """Return a name that is free: a process of the same run may have died and left the first."""
        return next(path for number in count(1) if not (path := self.path(run_id, number)).exists())

    def paths(self) -> list[Path]:
        """Return the journals that there are."""
        found = self.folder.glob("*.journal")
        return sorted(path for path in found if path.name.startswith(f"{self.stem}."))


@dataclass(frozen=True, slots=True)
class JournalFile:
    """A journal as others see it; `in_use` says that a proxy that lives writes it or takes it in."""

    path: Path
    size: int
    in_use: bool


def place(url: URL, home: Path | None) -> Place | None:
    """Return where the journals of the store at `url` are; None for one that has no place.

    Those of an SQLite file are beside it, others in the folder `home`, named by a hash of server and database.
    """
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            return None
        file = Path(url.database).absolute()
        return Place(file.parent, file.name)
    if home is None:
        return None
    server = [url.get_backend_name(), url.host or url.query.get("host"), url.port, url.database]
    return Place(home, f"{server[0]}-{hashlib.sha256(json.dumps(server).encode()).hexdigest()[:12]}")


def paths(database_url: str, home: Path) -> list[Path]:
    """Return the journals of the store at a URL: calls that wait for it, of this proxy and of others."""
    found = place(make_url(database_url), home)
    return found.paths() if found else []


def files(database_url: str, home: Path) -> list[JournalFile]:
    """Return the same with what is to be seen of each."""
    return [file for path in paths(database_url, home) if (file := looked_at(path))]


def looked_at(path: Path) -> JournalFile | None:
    """Return what is to be seen of a journal; None if it has just gone."""
    try:
        with FileIO(path) as file:
            return JournalFile(path, os.fstat(file.fileno()).st_size, not try_lock(file.fileno()))
    except OSError:
        return None
