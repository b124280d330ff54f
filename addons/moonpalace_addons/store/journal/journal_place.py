"""Locate the journals of a store and describe their files."""

import hashlib
import json
import os
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from moonpalace_addons.store.database.file_lock import try_lock
from moonpalace_addons.store.journal.journal_file import KEPT_SUFFIX, RUN_ID, opened, read_head, why


@dataclass(frozen=True, slots=True)
class Place:
    """The location of one store's journals: `folder`, with names that begin with `stem`."""

    folder: Path
    stem: str

    def path(self, run_id: str, number: int = 1) -> Path:
        """Return the path of a run's journal; `number` counts further ones."""
        return self.folder / f"{self.stem}.{run_id}{'' if number == 1 else f'-{number}'}.journal"

    def free_path(self, run_id: str) -> Path:
        """Return an unused path; a process of the same run may have died and left the first."""
        return next(path for number in count(1) if not os.path.lexists(path := self.path(run_id, number)))

    def paths(self) -> list[Path]:
        """Return the existing journals, and any other file with such a name."""
        return sorted(path for path in self._candidates() if path.name.endswith(".journal"))

    def kept(self) -> list[Path]:
        """Return the journals kept under other names because some calls could not be stored."""
        return sorted(path for path in self._candidates() if f".journal{KEPT_SUFFIX}" in path.name)

    def _candidates(self) -> list[Path]:
        files = self.folder.glob("*.journal*")
        return [path for path in files if path.name.startswith(f"{self.stem}.")]


@dataclass(frozen=True, slots=True)
class JournalFile:
    """A journal seen from outside; `in_use` means that a live proxy writes it or reads it into the store.

    `problem` is the reason why a proxy does not read it.
    """

    path: Path
    size: int
    in_use: bool
    problem: str | None = None


def place(url: URL, home: Path | None) -> Place | None:
    """Return the location of the journals of the store at `url`; None if it has none.

    For SQLite it is next to the file, else in the folder `home` under a hash of server and database.
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
    """Return the journals of the store at a URL, written by any proxy."""
    location = place(make_url(database_url), home)
    return location.paths() if location else []


def kept(database_url: str, home: Path) -> list[Path]:
    """Return the kept journals of the store at a URL, some calls of which could not be stored."""
    location = place(make_url(database_url), home)
    return location.kept() if location else []


def others(database_url: str, home: Path) -> list[Path]:
    """Return the journals in `home` that belong to other stores than the one at a URL."""
    own = {*paths(database_url, home)}
    return sorted(path for path in home.glob("*.journal") if path not in own and RUN_ID.search(path.name))


def files(database_url: str, home: Path) -> list[JournalFile]:
    """Return the journals of the store at a URL, described."""
    return [file for path in paths(database_url, home) if (file := inspected(path))]


def inspected(path: Path) -> JournalFile | None:
    """Return the description of a journal; None if it has been deleted."""
    try:
        with opened(path, os.O_RDONLY) as file:
            size = os.fstat(file.fileno()).st_size
            in_use = not try_lock(file.fileno())
            read_head(file, size)
            return JournalFile(path, size, in_use)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return JournalFile(path, path.lstat().st_size, in_use=False, problem=why(error))
