"""Write export files that only their owner can read, without overwriting other files."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import BinaryIO

from moonpalace_addons.errors import MoonPalaceError

MAX_STEM_LENGTH = 200
"""Maximum characters of a name; file systems allow 255 bytes, including ending and number."""


def safe_stem(name: str) -> str:
    """Return a safe file name for an identifier of an API: no separators, no leading dots."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[:MAX_STEM_LENGTH].lstrip(".-")


def write_new(folder: Path, stem: str, ending: str, content: bytes, *, otherwise: str = "") -> Path:
    """Write a new file and return its path; return an existing file with the same name and content unchanged.

    If the name is taken, try `otherwise`, or append -2, -3 and so on. Raise MoonPalaceError if nothing can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in candidates(folder, stem, ending, otherwise):
            if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
                return path
            try:
                write(path, content, os.O_EXCL)
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise cannot_write_into(folder, error) from error
    raise AssertionError("names never run out")


def cannot_write_into(folder: Path, error: OSError) -> MoonPalaceError:
    """Return the error for a folder that cannot be created or written to."""
    why = "it is a file, give a folder" if folder.is_file() else error.strerror
    return MoonPalaceError(f"cannot write into {folder}: {why}")


def candidates(folder: Path, stem: str, ending: str, otherwise: str = "") -> Iterator[Path]:
    """Yield the names to try, in order; `otherwise` avoids a long search if many files want one name."""
    yield folder / f"{stem}{ending}"
    if otherwise:
        yield folder / f"{otherwise}{ending}"
        stem = otherwise
    for number in count(2):
        yield folder / f"{stem}-{number}{ending}"


def write_over(path: Path, content: bytes) -> None:
    """Write the file, replacing an existing one; raise MoonPalaceError on failure."""
    with writing_over(path) as file:
        file.write(content)


@contextmanager
def writing_over(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that replaces an existing one when it is complete; only its owner can read it.

    Special files, such as pipes, are written directly. Raise MoonPalaceError if the file cannot be written.
    """
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                yield file
            return
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:MAX_STEM_LENGTH]}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        is_lost = isinstance(error, FileNotFoundError) and not path.parent.exists()
        why = f"there is no folder {path.parent}" if is_lost else error.strerror
        raise MoonPalaceError(f"cannot write {path}: {why}") from error


def write(path: Path, content: bytes, flag: int) -> None:
    """Write the file; a new one is readable by its owner only, and is removed if writing fails."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        if flag == os.O_EXCL:
            path.unlink(missing_ok=True)
        raise
