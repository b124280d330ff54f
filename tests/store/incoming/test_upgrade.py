"""Upgrading a file of the original: completely or not at all, whatever happens meanwhile."""

import logging
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Self

import pytest

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.incoming import legacy, upgrade
from moonpalace_addons.store.records import contents
from tests.store.incoming.upgraded import REFERENCE, backups_of, opened, rows_of

pytestmark = pytest.mark.usefixtures("shanghai")

SECRETS = (b"SECRETCOOKIE", b"sk-XAPIKEY")


# Columns of which the original's rows keep what they had, in the view that has its table's name.
SAME = tuple(name for name in legacy.COLUMNS if name not in ("request_header", "response_body"))
FIRST_VERSION = """CREATE TABLE moonshot_requests (id integer not null primary key autoincrement,
request_method text not null, request_path text not null, request_query text not null, request_content_type text,
request_id text, moonshot_id text, moonshot_gid text, moonshot_uid text, moonshot_request_id text,
moonshot_server_timing integer, response_status_code integer, response_content_type text, request_header text,
request_body text, response_header text, response_body text, error text,
created_at text default (datetime('now', 'localtime')) not null)"""
"""The table without the columns that were added later: the times and the endpoint."""


def test_every_row_says_what_it_said(old: Path) -> None:
    """Through the view with the table's name, all 49 rows have their values, except for secrets."""
    opened(old)
    before, after = rows_of(REFERENCE), rows_of(old)
    assert len(after) == 49
    for row, now in zip(before, after, strict=True):
        assert {name: now[name] for name in SAME} == {name: row[name] for name in SAME}
    different = [
        row["id"] for row, now in zip(before, after, strict=True) if row["request_header"] != now["request_header"]
    ]
    assert different == [49]
    assert after[48]["request_header"] == (
        "Accept: application/json\r\nConnection: close\r\nContent-Length: 97\r\nContent-Type: application/json\r\n"
        "Cookie: ***\r\nUser-Agent: OpenAI/Python 1.50.0\r\nX-Api-Key: ***\r\n"
        "X-Request-Id: my-req-id\r\nX-Stainless-Lang: python\r\n"
    )


def test_every_body_is_the_one_it_was(old: Path) -> None:
    """Bodies are unchanged byte for byte; those of streams are the events, with the merged completion."""
    engine = open_store(f"sqlite:///{old}")
    for row in rows_of(REFERENCE):
        bodies = contents.bodies(engine, int(str(row["id"])))
        answer = bodies.event_stream if row["response_content_type"] == "text/event-stream" else bodies.response
        for stored, was in ((bodies.request, row["request_body"]), (answer, row["response_body"])):
            assert stored == (None if was is None else str(was).encode())
    engine.dispose()


def test_streams_are_matched_by_what_they_merge_to(old: Path) -> None:
    """The document's predicate on a finish reason matches streams, as in the original."""
    opened(old)
    with closing(sqlite3.connect(old)) as connection:
        reason = "json_extract(response_body, '$.choices[0].finish_reason')"
        query = f"SELECT id FROM moonshot_requests WHERE CASE WHEN json_valid(response_body) THEN {reason} END = ?"
        assert [number for (number,) in connection.execute(query, ["length"])] == [20, 21, 33, 48]
        assert [number for (number,) in connection.execute(query, ["repeat"])] == [6, 7, 19]


def test_backup_is_the_old_file(old: Path) -> None:
    """The backup has the old rows, including secrets, and is private; so is the new file."""
    opened(old)
    (backup,) = backups_of(old)
    assert rows_of(backup) == rows_of(REFERENCE)
    assert [path.stat().st_mode & 0o777 for path in (old, backup)] == [0o600, 0o600]
    assert sorted(path.name for path in old.parent.iterdir()) == sorted([old.name, backup.name])


def test_no_secret_is_left_in_the_file(old: Path) -> None:
    """Not even unused pages of the new file contain keys and cookies of the old one."""
    assert all(secret in old.read_bytes() for secret in SECRETS)
    opened(old)
    assert not any(secret in old.read_bytes() for secret in SECRETS)


def test_one_line_says_what_was_done(old: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first opening reports the upgrade and the backup; the second is silent."""
    opened(old)
    (backup,) = backups_of(old)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.messages == [
        f"{old} was written by the original MoonPalace and has been upgraded, 49 calls; the old file, with the keys and"
        f" cookies that it may hold, is kept as {backup}"
    ]
    caplog.clear()
    opened(old)
    assert caplog.messages == []


def test_ids_go_on_after_the_greatest(old: Path) -> None:
    """Numbers of deleted calls are not reused."""
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("DELETE FROM moonshot_requests WHERE id > 40")
    opened(old)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'exchanges'").fetchone() == (49,)


@pytest.mark.parametrize("rows", [0, 1])
def test_first_version_lacks_columns(tmp_path: Path, rows: int) -> None:
    """A file of an older version is upgraded; missing columns are NULL."""
    file = tmp_path / "moonpalace.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(FIRST_VERSION)
        statement = (
            "INSERT INTO moonshot_requests (request_method, request_path, request_query) VALUES ('GET', '/a', '')"
        )
        for _ in range(rows):
            connection.execute(statement)
    opened(file)
    after = rows_of(file)
    assert len(after) == rows
    for row in after:
        missing = ("response_ttft", "response_tpot", "response_otps", "latency", "response_body", "moonshot_id")
        assert [row[name] for name in missing] == [None] * len(missing)
        assert (row["id"], row["request_path"]) == (1, "/a")


def test_file_with_a_log_is_taken_whole(tmp_path: Path, old: Path) -> None:
    """Rows that are still in the write-ahead log of a crashed process are upgraded, and the log is removed."""
    crashed = tmp_path / "crashed" / "moonpalace.sqlite"
    crashed.parent.mkdir()
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("UPDATE moonshot_requests SET request_path = '/in/the/log' WHERE id = 3")
        connection.commit()
        for ending in ("", "-wal"):
            shutil.copyfile(f"{old}{ending}", f"{crashed}{ending}")
    assert Path(f"{crashed}-wal").stat().st_size > 0
    opened(crashed)
    assert rows_of(crashed)[2]["request_path"] == "/in/the/log"
    (backup,) = backups_of(crashed)
    assert rows_of(backup)[2]["request_path"] == "/in/the/log"


def test_other_tables_are_refused(tmp_path: Path) -> None:
    """A table of the same name that is not the original's is left alone."""
    file = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE moonshot_requests (something)")
    before = file.read_bytes()
    with pytest.raises(StoreError, match="holds other tables than MoonPalace's"):
        opened(file)
    assert file.read_bytes() == before


def test_folder_of_the_original_becomes_private(tmp_path: Path) -> None:
    """The original's folder, which was open to all, becomes private; another folder is unchanged."""
    for name, mode in ((".moonpalace", 0o700), ("work", 0o755)):
        folder = tmp_path / name
        folder.mkdir()
        folder.chmod(0o755)
        shutil.copyfile(REFERENCE, folder / "moonpalace.sqlite")
        opened(folder / "moonpalace.sqlite")
        assert folder.stat().st_mode & 0o777 == mode


def test_names_of_backups_are_never_taken_twice(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second backup in the same second gets another name, and the first is unchanged."""
    opened(old)
    (first,) = backups_of(old)
    content = first.read_bytes()

    class Stopped(datetime):
        """A clock that shows the second of the first backup."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            stamp = first.name.removeprefix(upgrade.beginning(old)).removesuffix(".sqlite")
            return cls.strptime(stamp, "%Y%m%d-%H%M%S")

    monkeypatch.setattr(upgrade, "datetime", Stopped)
    shutil.copyfile(REFERENCE, old)
    opened(old)
    assert first.read_bytes() == content
    assert [path.name for path in backups_of(old)] == [first.name.replace(".sqlite", "-2.sqlite"), first.name]
