"""Where the journals of a store are, and what is to be seen of each."""

import hashlib
import json
import os
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from moonpalace_addons.store.database.file_lock import try_lock
from moonpalace_addons.store.journal.journal_file import KEPT, RUN_ID, opened, read_head, why


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
        return next(path for number in count(1) if not os.path.lexists(path := self.path(run_id, number)))

    def paths(self) -> list[Path]:
        """Return the journals that there are, and whatever else has such a name."""
        return sorted(path for path in self._beside() if path.name.endswith(".journal"))

    def kept(self) -> list[Path]:
        """Return the journals that were left under other names, since something of them could not be stored."""
        return sorted(path for path in self._beside() if f".journal{KEPT}" in path.name)

    def _beside(self) -> list[Path]:
        found = self.folder.glob("*.journal*")
        return [path for path in found if path.name.startswith(f"{self.stem}.")]


@dataclass(frozen=True, slots=True)
class JournalFile:
    """A journal as others see it; `in_use` says that a proxy that lives writes it or takes it in.

    `problem` says why it is none that a proxy takes in.
    """

    path: Path
    size: int
    in_use: bool
    problem: str | None = None


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


def kept(database_url: str, home: Path) -> list[Path]:
    """Return the journals of the store at a URL of which something could not be stored."""
    found = place(make_url(database_url), home)
    return found.kept() if found else []


def others(database_url: str, home: Path) -> list[Path]:
    """Return the journals in the folder `home` of which the store is another than the one at a URL."""
    own = {*paths(database_url, home)}
    return sorted(path for path in home.glob("*.journal") if path not in own and RUN_ID.search(path.name))


def files(database_url: str, home: Path) -> list[JournalFile]:
    """Return the journals with what is to be seen of each."""
    return [file for path in paths(database_url, home) if (file := looked_at(path))]


def looked_at(path: Path) -> JournalFile | None:
    """Return what is to be seen of a journal; None if it has just gone."""
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
