"""Tests of checking a store's file without opening it."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from moonpalace_addons.store.database.file_checks import file_of, has_no_calls

REFERENCE = Path(__file__).parents[2] / "data" / "go-v0.12" / "moonpalace.sqlite"


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:////var/calls.sqlite", "/var/calls.sqlite"),
        ("sqlite:///calls.sqlite", "calls.sqlite"),
        ("sqlite:///", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///a.sqlite?mode=ro", None),
        ("sqlite:///a%20b.sqlite", None),
        ("sqlite+pysqlite:///a.sqlite", None),
        ("postgresql://user@host/name", None),
    ],
)
def test_file_of(url: str, file: str | None) -> None:
    """A plain URL gives its file; anything that must be parsed is left to SQLAlchemy."""
    assert file_of(url) == (None if file is None else Path(file))


@pytest.fixture
def empty(tmp_path: Path, empty_store: Path) -> Iterator[Path]:
    """Give an empty store."""
    yield Path(shutil.copy(empty_store, tmp_path / "calls.sqlite"))
    assert sorted(path.name for path in tmp_path.iterdir() if "-" in path.name) == []


CALL = """INSERT INTO exchanges (uuid, run_id, state, started_at, method, endpoint, path, query, request_bytes,
is_stream, is_coerced) VALUES ('u', 'r', 'completed', 1, 'GET', '', '/', '', 0, 0, 0)"""


@pytest.mark.parametrize(
    ("change", "is_empty"),
    [
        ("", True),
        ("INSERT INTO runs (id, host, pid, version, started_at, heartbeat_at) VALUES ('r', '', 1, '', 1, 1)", True),
        (CALL, False),
        ("UPDATE alembic_version SET version_num = '0001'", False),
        ("UPDATE alembic_version SET version_num = '9999'", False),
        ("DROP TABLE exchanges", False),
    ],
    ids=["new", "run", "call", "older", "newer", "damaged"],
)
def test_no_calls(empty: Path, change: str, is_empty: bool) -> None:
    """A store of this version without a call has none; for any other this cannot be determined."""
    with closing(sqlite3.connect(empty)) as connection:
        connection.executescript(change)
        connection.commit()
    assert has_no_calls(empty) is is_empty


def test_calls_in_the_log(empty: Path) -> None:
    """A call that a running proxy has just stored is noticed."""
    with closing(sqlite3.connect(empty)) as connection:
        assert has_no_calls(empty)
        connection.execute(CALL)
        connection.commit()
        assert not has_no_calls(empty)


@pytest.mark.parametrize("content", [b"", b"hello", None], ids=["nothing", "text", "original"])
def test_other_files(tmp_path: Path, content: bytes | None) -> None:
    """For a file that is not a store of ours this cannot be determined."""
    file = tmp_path / "other.sqlite"
    if content is None:
        shutil.copyfile(REFERENCE, file)
    else:
        file.write_bytes(content)
    assert not has_no_calls(file)
    assert not has_no_calls(tmp_path / "missing.sqlite")
