"""Compile modules once in a new checkout, rather than in each process that runs tests: imports then take a third."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TURNS = "MOONPALACE_TEST_TURNS"
"""The variable with a file that the first process to import the tests locks, and writes to afterwards."""

TESTS = Path(__file__).parent


@contextmanager
def compiled_once() -> Iterator[None]:
    """Make processes started inside the block import the tests one by one, unless these are compiled already."""
    if TURNS in os.environ or any(TESTS.glob("*/__pycache__")):
        yield
        return
    with tempfile.NamedTemporaryFile() as file:
        os.environ[TURNS] = file.name
        yield
        del os.environ[TURNS]


@contextmanager
def turn_to_import() -> Iterator[None]:
    """Import the tests before all other processes of the run, or after the first one has."""
    if not {TURNS, "PYTEST_XDIST_WORKER"} <= os.environ.keys():
        yield
        return
    with Path(os.environ[TURNS]).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_size:
            fcntl.flock(file, fcntl.LOCK_UN)
            yield
        else:
            yield
            file.write(b"imported")
