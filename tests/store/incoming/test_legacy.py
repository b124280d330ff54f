"""Reading files of the original MoonPalace, of this version and of older ones."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from moonpalace_addons.store.incoming import legacy

REFERENCE = Path(__file__).parents[2] / "data" / "go-v0.12" / "moonpalace.sqlite"


@pytest.fixture
def empty() -> Iterator[sqlite3.Connection]:
    """Give an empty database in memory."""
    with closing(sqlite3.connect(":memory:")) as connection:
        yield connection


@pytest.fixture
def reference() -> Iterator[sqlite3.Connection]:
    """Give the file that the original wrote, for reading."""
    with closing(sqlite3.connect(f"{REFERENCE.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        yield connection


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ([], False),
        (["moonshot_requests (id, request_method, request_path, created_at)"], True),
        (["moonshot_requests (id, something)"], False),
        (["moonshot_requests (id, request_method, request_path, created_at)", "exchanges (id)"], False),
        (["exchanges (id)"], False),
    ],
)
def test_what_the_original_wrote_is_known_by_its_table(
    empty: sqlite3.Connection, tables: list[str], expected: bool
) -> None:
    """A file is the original's if it has its table with the columns of every version, and none of ours."""
    for table in tables:
        empty.execute(f"CREATE TABLE {table}")
    assert legacy.is_legacy(empty) is expected


def test_rows_come_with_all_columns_in_order(reference: sqlite3.Connection) -> None:
    """Every row has every column, texts as bytes, oldest first."""
    rows = list(legacy.rows(reference))
    assert [row["id"] for row in rows] == list(range(1, 50))
    assert {tuple(row) for row in rows} == {legacy.COLUMNS}
    assert rows[0]["request_path"] == b"/v1/chat/completions"
    assert legacy.count(reference) == 49


def test_one_row_is_the_same(reference: sqlite3.Connection) -> None:
    """A row read by its id is the same as among all rows."""
    assert legacy.row(reference, 7) == list(legacy.rows(reference))[6]


def test_keys_have_lengths_for_bodies(reference: sqlite3.Connection) -> None:
    """A key has the length of each body in bytes, and no headers."""
    rows, keys = list(legacy.rows(reference)), list(legacy.keys(reference))
    for row, key in zip(rows, keys, strict=True):
        for name in legacy.BODIES:
            assert key[name] == (None if row[name] is None else len(row[name]))  # type: ignore[arg-type]
        assert [key[name] for name in legacy.HEADERS] == [None, None]
        assert key["created_at"] == row["created_at"]


def test_missing_columns_are_null(empty: sqlite3.Connection) -> None:
    """Columns that an older version did not have read as NULL, a missing id as the row's number."""
    empty.execute("CREATE TABLE moonshot_requests (request_method text, request_path text, created_at text)")
    empty.execute("INSERT INTO moonshot_requests VALUES ('GET', '/v1/models', '2024-07-29 21:30:43')")
    (row,) = legacy.rows(empty)
    given = {"id": 1, "request_method": b"GET", "request_path": b"/v1/models", "created_at": b"2024-07-29 21:30:43"}
    assert row == dict.fromkeys(legacy.COLUMNS) | given
    (key,) = legacy.keys(empty)
    assert key == row


def test_bytes_of_texts_are_kept(empty: sqlite3.Connection) -> None:
    """A body that is not UTF-8, which the original stored as text, is unchanged byte for byte."""
    empty.execute("CREATE TABLE moonshot_requests (id, request_method, request_path, created_at, request_body text)")
    empty.execute("INSERT INTO moonshot_requests VALUES (1, 'POST', '/v1/files', '', CAST(x'ff00fe' AS TEXT))")
    (row,) = legacy.rows(empty)
    assert row["request_body"] == b"\xff\x00\xfe"


@pytest.mark.parametrize(
    ("table", "statements", "expected"),
    [
        ("id integer primary key autoincrement", ["INSERT INTO moonshot_requests (id) VALUES (8)"], 8),
        (
            "id integer primary key autoincrement",
            ["INSERT INTO moonshot_requests (id) VALUES (8)", "DELETE FROM moonshot_requests"],
            8,
        ),
        ("id integer primary key", ["INSERT INTO moonshot_requests (id) VALUES (3)"], 3),
        ("id integer primary key", [], 0),
    ],
)
def test_greatest_id_counts_deleted_rows(
    empty: sqlite3.Connection, table: str, statements: list[str], expected: int
) -> None:
    """The greatest id counts deleted rows, if the file has that information."""
    empty.execute(f"CREATE TABLE moonshot_requests ({table})")
    for statement in statements:
        empty.execute(statement)
    assert legacy.greatest_id(empty) == expected
