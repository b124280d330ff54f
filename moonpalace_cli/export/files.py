"""Write exports to files that only their owner can read, and never over another file."""

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
"""Characters of a name; file systems take 255 bytes, ending and number included."""


def safe_stem(name: str) -> str:
    """Return a file name for what an API called a thing: no separators, no leading dots, no surprises."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[:MAX_STEM_LENGTH].lstrip(".-")


def write_new(folder: Path, stem: str, ending: str, content: bytes, *, otherwise: str = "") -> Path:
    """Write a new file and return its path; one of the same name and content is left as it is and returned.

    A name taken by something else gives way to `otherwise`, or gets -2, -3, …. Raises MoonPalaceError where nothing can
    be written.
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
        raise MoonPalaceError(f"cannot write into {folder}: {error.strerror}") from error
    raise AssertionError("names never run out")


def candidates(folder: Path, stem: str, ending: str, otherwise: str = "") -> Iterator[Path]:
    """Give the names to try, in order; `otherwise` spares many files that want one name a long search."""
    yield folder / f"{stem}{ending}"
    if otherwise:
        yield folder / f"{otherwise}{ending}"
        stem = otherwise
    for number in count(2):
        yield folder / f"{stem}-{number}{ending}"


def write_over(path: Path, content: bytes) -> None:
    """Write the file, whatever was in it; raises MoonPalaceError where it cannot be written."""
    with writing_over(path) as file:
        file.write(content)


@contextmanager
def writing_over(path: Path) -> Iterator[BinaryIO]:
    """Give a file that takes the place of whatever was there, once all of it is written; it is its owner's alone.

    What is no file, such as a pipe, is written at once. Raises MoonPalaceError where the file cannot be written.
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
        raise MoonPalaceError(f"cannot write {path}: {error.strerror}") from error


def write(path: Path, content: bytes, flag: int) -> None:
    """Write the file; a new one can be read by its owner only, and is not left behind half-written."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        if flag == os.O_EXCL:
            path.unlink(missing_ok=True)
        raise
