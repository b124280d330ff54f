"""Keep MoonPalace's files and folders private to their owner."""

import fnmatch
from contextlib import suppress
from pathlib import Path

OTHERS = 0o077
"""The permission bits of group and others."""

OWN_NAME = ".moonpalace"
OWN_CONTENT = ("config.yaml", "mitmproxy", "moonpalace.*", ".moonpalace.*", "postgresql-*.journal*")
"""Patterns of the files in MoonPalace's folder."""


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents with mode 0700; raises OSError."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError):  # created by another process
            each.mkdir(mode=0o700)
    if not folder.is_dir():
        folder.mkdir()


def make_home(home: Path) -> None:
    """Create MoonPalace's folder, or make an existing one private if it holds nothing else.

    Call it before mitmproxy starts, which would create a folder that others can read.
    """
    with suppress(OSError):  # reported when the folder is used
        make_folder(home)
        if home.stat().st_mode & OTHERS and is_own(home):
            home.chmod(0o700)


def is_own(folder: Path) -> bool:
    """Return whether a folder belongs to MoonPalace, by its name or because it holds nothing else."""
    names = [path.name for path in folder.iterdir()]
    return folder.name == OWN_NAME or all(any(fnmatch.fnmatch(name, own) for own in OWN_CONTENT) for name in names)


def make_private(file: Path) -> None:
    """Remove other users' permissions on a store's file and on the files that SQLite keeps next to it."""
    real = file.resolve()
    for ending in ("", "-wal", "-shm", "-journal"):
        path = real.with_name(real.name + ending)
        # A file of another owner cannot be changed and stays as it is.
        with suppress(FileNotFoundError, PermissionError):
            if path.stat().st_mode & OTHERS:
                path.chmod(0o600)
