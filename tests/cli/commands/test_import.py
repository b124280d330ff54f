"""`mpal import`."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Mpal

REFERENCE = Path(__file__).parents[2] / "data" / "go-v0.12" / "moonpalace.sqlite"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a copy of the original's file."""
    return Path(shutil.copyfile(REFERENCE, tmp_path / "old.sqlite"))


def test_file_is_imported_once(mpal: Mpal, old: Path) -> None:
    """The first run imports the calls into a new store; the second says that they exist."""
    first, second = mpal("import", str(old)), mpal("import", str(old))
    assert (first.code, first.out, first.err) == (0, "imported 49 calls\n", "")
    assert (second.code, second.out, second.err) == (0, "imported 0 calls, 49 were already here\n", "")
    assert mpal("list", "-n", "100", "--json").out.count("\n") == 49
    assert old.read_bytes() == REFERENCE.read_bytes()


def test_counts_as_json(mpal: Mpal, old: Path, tmp_path: Path) -> None:
    """--json prints the counts; a dry run imports nothing."""
    mpal("import", str(old), "--database", str(tmp_path / "home" / "moonpalace.sqlite"))
    with closing(sqlite3.connect(tmp_path / "home" / "moonpalace.sqlite")) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM exchanges WHERE id = 7")
    for _ in range(2):
        printed = mpal("import", str(old), "--dry-run", "--json")
        assert json.loads(printed.out) == {"imported": 1, "present": 48, "left_out": 0, "dry_run": True}
    assert mpal("import", str(old), "--dry-run").out == "would import 1 call, 48 were already here\n"


def test_bar_is_drawn_on_a_terminal(mpal: Mpal, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar is written to standard error, and only the sentence to standard output."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    printed = mpal("import", str(old))
    assert printed.out == "imported 49 calls\n"
    assert "Importing" in printed.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.sqlite"], 1, "there is no file "),
        ([], 2, "Missing argument 'FILE_OR_URL'"),
        (["mysql://user:hunter2@host/name"], 2, "FILE_OR_URL"),
    ],
)
def test_what_cannot_be_imported(mpal: Mpal, arguments: list[str], code: int, words: str) -> None:
    """An invalid source is refused in one line, which repeats no password."""
    printed = mpal("import", *arguments)
    assert printed.code in (code, 1)
    assert words in printed.err or "mysql" in printed.err
    assert printed.err.count("\n") == 1
    assert "hunter2" not in printed.err
    assert printed.out == ""


def test_store_is_not_imported_into_itself(mpal: Mpal, old: Path) -> None:
    """The store itself is not a valid source."""
    printed = mpal("import", str(old), "--database", str(old))
    assert (printed.code, printed.err) == (1, "Error: a store cannot be imported into itself: give another one\n")
    assert old.read_bytes() == REFERENCE.read_bytes()


def test_times_are_read_in_the_zone_of_this_machine(mpal: Mpal, old: Path) -> None:
    """On the machine where it was written, a time without a zone is unchanged."""
    mpal("import", str(old))
    assert "2026-11-23 01:27:05" in mpal("list", "-n", "1").out
