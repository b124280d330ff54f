"""Keep what MoonPalace writes from the eyes of other users."""

import fnmatch
from contextlib import suppress
from pathlib import Path

OTHERS = 0o077
"""The permissions of everybody but the owner."""

OWN_NAME = ".moonpalace"
OWN_CONTENT = ("config.yaml", "mitmproxy", "moonpalace.*", ".moonpalace.*", "postgresql-*.journal*")
"""What is in MoonPalace's folder."""


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone; raises OSError."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError):  # another process was quicker
            each.mkdir(mode=0o700)
    if not folder.is_dir():
        folder.mkdir()


def make_home(home: Path) -> None:
    """Make MoonPalace's folder, or take others' rights to it away, if it is surely that and no folder of other things.

    Whoever comes next, mitmproxy too, then finds it, and makes none that others can read.
    """
    with suppress(OSError):  # who needs the folder will say what is wrong with it
        make_folder(home)
        if home.stat().st_mode & OTHERS and is_own(home):
            home.chmod(0o700)


def is_own(folder: Path) -> bool:
    """Tell whether a folder is MoonPalace's alone: by its name, or since it holds nothing else."""
    names = [path.name for path in folder.iterdir()]
    return folder.name == OWN_NAME or all(any(fnmatch.fnmatch(name, own) for own in OWN_CONTENT) for name in names)


def make_private(file: Path) -> None:
    """Take others' rights to a store's file, and to what SQLite has beside it, away."""
    real = file.resolve()
    for ending in ("", "-wal", "-shm", "-journal"):
        path = real.with_name(real.name + ending)
        # One that is shared stays: only its owner may do that.
        with suppress(FileNotFoundError, PermissionError):
            if path.stat().st_mode & OTHERS:
                path.chmod(0o600)
