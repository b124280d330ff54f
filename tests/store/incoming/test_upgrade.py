"""Turning a file of the original into one of ours: all of it or nothing, whatever happens meanwhile."""

import logging
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Self

import pytest

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.incoming import legacy, upgrade
from moonpalace_addons.store.records import contents

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "tests" / "data" / "go-v0.12" / "moonpalace.sqlite"
SECRETS = (b"SECRETCOOKIE", b"sk-XAPIKEY")
# Columns of which the original's rows keep what they had, in the view that has its table's name.
SAME = tuple(name for name in legacy.COLUMNS if name not in ("request_header", "response_body"))
FIRST_VERSION = """CREATE TABLE moonshot_requests (id integer not null primary key autoincrement,
request_method text not null, request_path text not null, request_query text not null, request_content_type text,
request_id text, moonshot_id text, moonshot_gid text, moonshot_uid text, moonshot_request_id text,
moonshot_server_timing integer, response_status_code integer, response_content_type text, request_header text,
request_body text, response_header text, response_body text, error text,
created_at text default (datetime('now', 'localtime')) not null)"""
"""The table without the columns that came later: the times and the endpoint."""


@pytest.fixture(autouse=True)
def shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the clock into Shanghai, where the reference was written."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Give a copy of the file that the original wrote, readable by all as it left it."""
    file = tmp_path / "moonpalace.sqlite"
    shutil.copyfile(REFERENCE, file)
    file.chmod(0o644)
    return file


def rows_of(file: Path) -> list[dict[str, object]]:
    """Return what `SELECT *` gives a user of any SQLite client."""
    with closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM moonshot_requests ORDER BY id")]


def opened(file: Path) -> None:
    """Open the store as every command does."""
    open_store(f"sqlite:///{file}").dispose()


def is_sound(file: Path) -> bool:
    """Tell whether SQLite finds nothing wrong with a file, which has all 49 calls."""
    with closing(sqlite3.connect(file)) as connection:
        (checked,) = connection.execute("PRAGMA integrity_check").fetchone()
        (number,) = connection.execute("SELECT count(*) FROM moonshot_requests").fetchone()
    return (checked, number) == ("ok", 49)


def backups_of(file: Path) -> list[Path]:
    """Return the backups beside a file."""
    return upgrade.backups(file)


def test_every_row_says_what_it_said(old: Path) -> None:
    """Through the view with the table's name, all 49 rows have the values that they had, but for secrets."""
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
    """Bodies are byte for byte what they were; those of streams are the events, beside what they merge to."""
    engine = open_store(f"sqlite:///{old}")
    for row in rows_of(REFERENCE):
        bodies = contents.bodies(engine, int(str(row["id"])))
        answer = bodies.event_stream if row["response_content_type"] == "text/event-stream" else bodies.response
        for stored, was in ((bodies.request, row["request_body"]), (answer, row["response_body"])):
            assert stored == (None if was is None else str(was).encode())
    engine.dispose()


def test_streams_are_matched_by_what_they_merge_to(old: Path) -> None:
    """The document's predicate on a body's finish reason holds for streams, as it did in the original."""
    opened(old)
    with closing(sqlite3.connect(old)) as connection:
        reason = "json_extract(response_body, '$.choices[0].finish_reason')"
        query = f"SELECT id FROM moonshot_requests WHERE CASE WHEN json_valid(response_body) THEN {reason} END = ?"
        assert [number for (number,) in connection.execute(query, ["length"])] == [20, 21, 33, 48]
        assert [number for (number,) in connection.execute(query, ["repeat"])] == [6, 7, 19]


def test_backup_is_the_old_file(old: Path) -> None:
    """The backup has the old rows, secrets included, and is its owner's alone; so is the new file."""
    opened(old)
    (backup,) = backups_of(old)
    assert rows_of(backup) == rows_of(REFERENCE)
    assert [path.stat().st_mode & 0o777 for path in (old, backup)] == [0o600, 0o600]
    assert sorted(path.name for path in old.parent.iterdir()) == sorted([old.name, backup.name])


def test_no_secret_is_left_in_the_file(old: Path) -> None:
    """Not even the unused pages of the new file hold what the old one had of keys and cookies."""
    assert all(secret in old.read_bytes() for secret in SECRETS)
    opened(old)
    assert not any(secret in old.read_bytes() for secret in SECRETS)


def test_one_line_says_what_was_done(old: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first opening says what happened and where the backup is; the second is silent."""
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
    """Numbers of calls that had been deleted do not come again."""
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("DELETE FROM moonshot_requests WHERE id > 40")
    opened(old)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'exchanges'").fetchone() == (49,)


@pytest.mark.parametrize("rows", [0, 1])
def test_first_version_lacks_columns(tmp_path: Path, rows: int) -> None:
    """A file of an older version, without the columns that came later, is upgraded; what it lacks is NULL."""
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
    """Rows that are still in the write-ahead log of a crashed process are upgraded too, and the log is gone."""
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
    """The folder that the original made, open to all, is taken from others; another folder stays as it is."""
    for name, mode in ((".moonpalace", 0o700), ("work", 0o755)):
        folder = tmp_path / name
        folder.mkdir()
        folder.chmod(0o755)
        shutil.copyfile(REFERENCE, folder / "moonpalace.sqlite")
        opened(folder / "moonpalace.sqlite")
        assert folder.stat().st_mode & 0o777 == mode


def test_names_of_backups_are_never_taken_twice(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second backup in the same second gets another name, and the first stays what it was."""
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


# ---- what may stand against it -------------------------------------------------------------------------------------


def test_locked_file_is_left_alone(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process writes to the file, the upgrade is refused in one line."""
    monkeypatch.setattr(upgrade, "BUSY_TIMEOUT", 0.05)
    with closing(sqlite3.connect(old)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="cannot be upgraded: another process has it open: end that") as caught:
            opened(old)
        other.rollback()
    assert "\n" not in str(caught.value)
    assert is_sound(old)
    assert backups_of(old) == []


def test_small_disk_is_noticed_before(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for the backup and the copies nothing is begun, and the line says how much is needed."""
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil's own
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 1000, 1000))
    before = old.read_bytes()
    with pytest.raises(StoreError, match=r"which is as it was: that needs 18 MB in .*, 1 are free"):
        opened(old)
    assert old.read_bytes() == before
    assert backups_of(old) == []


LIMITED = """
import sys
from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.incoming import upgrade
from pathlib import Path
import resource
upgrade.check_space = lambda _: None
limit = int(sys.argv[2])
import moonpalace_addons.store.database.engine, alembic.command, alembic.config
import moonpalace_addons.store.incoming.legacy_calls
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    upgrade.upgrade(Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [10_000, 130_000, 300_000])
def test_full_disk_leaves_the_old_file(old: Path, limit: int) -> None:
    """Where writing fails, in the backup or in the new file, the old one is untouched and nothing half is left."""
    printed = run(LIMITED, str(old), str(limit))
    assert printed.startswith(f"cannot upgrade {old}, which is as it was: ")
    assert printed.count("\n") == 1
    assert is_sound(old)
    assert rows_of(old) == rows_of(REFERENCE)
    assert [path.name for path in old.parent.iterdir()] == [old.name]
    opened(old)
    assert rows_of(old)[48]["state"] == "completed"


def test_limit_is_what_stops_it(old: Path) -> None:
    """The test above says something: with room enough the same script upgrades."""
    assert run(LIMITED, str(old), str(resource.RLIM_INFINITY)) == ""
    assert rows_of(old)[48]["state"] == "completed"


# ---- killed and at once -------------------------------------------------------------------------------------------

PREPARED = """
import os, signal, sys
from pathlib import Path
from moonpalace_addons.store.database import engine
from moonpalace_addons.store.incoming import legacy_calls
from moonpalace_addons.store.incoming import upgrade
import alembic.command, alembic.config, sqlalchemy.dialects.sqlite, zstandard
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
file = Path(sys.argv[1])
"""
DYING: dict[str, str] = {
    "before the new file": "upgrade.build = die",
    "in the new file": "upgrade.begin_ids_after = die",
    "after the new file": "upgrade.back_up = die",
    "before the backup has its name": "upgrade.give_name = die",
    "before the replacement": "upgrade.replace = die",
    "after the replacement": "real = upgrade.replace; upgrade.replace = lambda *given: (real(*given), die())",
}
HALF_COPIED = """
def replace(old, places):
    old.execute("PRAGMA cache_size = 1")  # so that pages go to the file before the end of the transaction
    new = upgrade.sqlite3.connect(places.new)
    new.backup(old, pages=1, progress=lambda _, left, total: die() if left < total // 2 else None)
upgrade.replace = replace
"""


def run(script: str, *arguments: str, code: int = 0) -> str:
    """Run a script in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={"PYTHONPATH": f"{ROOT / 'addons'}", "TZ": "Asia/Shanghai"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def check_whole(file: Path) -> None:
    """Check that a file is the old one or the new one, and that the next opening makes it the new one."""
    assert is_sound(file)
    opened(file)
    assert is_sound(file)
    after = rows_of(file)
    assert [row["state"] for row in after].count("completed") == 38
    assert backups_of(file)
    assert all(rows_of(backup) == rows_of(REFERENCE) for backup in backups_of(file))


@pytest.mark.parametrize("moment", [pytest.param(value, id=key) for key, value in DYING.items()])
def test_killed_at_each_step(old: Path, moment: str) -> None:
    """A process that is killed between two steps leaves the old file or the new one."""
    run(f"{PREPARED}\n{moment}\nupgrade.upgrade(file)", str(old), code=-signal.SIGKILL)
    check_whole(old)


def test_killed_in_the_midst_of_the_copy(old: Path) -> None:
    """When half of the pages are already those of the new file, the next to open it gets the old one back."""
    before = rows_of(old)
    run(f"{PREPARED}\n{HALF_COPIED}\nupgrade.upgrade(file)", str(old), code=-signal.SIGKILL)
    assert Path(f"{old}-journal").stat().st_size > 0
    assert rows_of(old) == before
    check_whole(old)


WAITING = PREPARED + "\nprint('ready', flush=True)\nsys.stdin.readline()\nupgrade.upgrade(file)\n"


def start(file: Path) -> subprocess.Popen[str]:
    """Start a process that upgrades a file as soon as a line comes."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, str(file)],
        env={"PYTHONPATH": f"{ROOT / 'addons'}", "TZ": "Asia/Shanghai"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    """Let a started process begin."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment(old: Path, seed: int) -> None:
    """Killed after a random time, the upgrade leaves the old file or the new one."""
    process = start(old)
    go(process)
    with suppress(subprocess.TimeoutExpired):
        process.wait(random.Random(seed).uniform(0.001, 0.15))
    process.kill()
    process.communicate()
    check_whole(old)


def test_several_at_once(old: Path) -> None:
    """Of processes that open the file in the same moment, one upgrades it; the others find the work done."""
    processes = [start(old) for _ in range(3)]
    for process in processes:
        go(process)
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len([text for text in said if "has been upgraded, 49 calls" in text]) == 1
    assert len(backups_of(old)) == 1
    check_whole(old)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_other_waits_for_a_long_upgrade(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens the file during an upgrade that takes longer than a lock is waited for, waits."""
    slow = "real = upgrade.build\ndef build(*given):\n    print('ready', flush=True)\n    sys.stdin.readline()\n"
    script = f"{PREPARED}\n{slow}    return real(*given)\nupgrade.build = build\nupgrade.upgrade(file)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(old)],
        env={"PYTHONPATH": f"{ROOT / 'addons'}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    monkeypatch.setattr("moonpalace_addons.store.database.engine.BUSY_TIMEOUT", 0.05)
    waited: list[str] = []

    def note(message: str, *_: object) -> None:
        waited.append(message)
        go(process)

    monkeypatch.setattr(upgrade.logger, "warning", note)
    opened(old)
    assert process.wait(60) == 0
    process.communicate()
    assert waited == ["waiting for another process that is upgrading %s"]
    assert rows_of(old)[48]["state"] == "completed"
