"""`mpal doctor`, with and without --secrets."""

import json
import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from moonpalace_addons.store.journal.journal_file import MAGIC, Journal
from moonpalace_addons.store.journal.unit_bytes import pack
from moonpalace_addons.store.records import labels
from moonpalace_addons.store.revision import REVISION
from moonpalace_addons.store.write.units import Unit
from tests.cli.conftest import Mpal

REFERENCE = Path(__file__).parents[2] / "data" / "go-v0.12" / "moonpalace.sqlite"
KEY = "sk-9fR2kLmQ8vXc0TzB4nYd"


@pytest.fixture
def file(store: Any, tmp_path: Path) -> Path:
    """Return the file of a store with a call, as private as a proxy creates it."""
    store.add(request=b'{"model": "kimi-k3"}', response=b'{"id": "chatcmpl-1"}')
    path = tmp_path / "home" / "moonpalace.sqlite"
    path.parent.chmod(0o700)
    for one in path.parent.iterdir():
        one.chmod(0o600)
    return path


def change(file: Path, *statements: str) -> None:
    """Change a store in a way that no proxy does."""
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_sound_store(mpal: Mpal, file: Path) -> None:
    """A sound store gives its numbers and exit code 0."""
    printed = mpal("doctor")
    assert (printed.code, printed.err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in printed.out.splitlines() if line[:1].strip() and " " in line)
    assert lines["database"] == str(file)
    assert lines["version"].startswith("MoonPalace ")
    assert lines["calls"] == "1 completed"
    assert lines["proxies"] == "none running"
    assert (
        lines["backlog"] == "none; a proxy has 32.0 MB of ended calls in memory at most, and a journal from 16.0 MB on"
    )
    assert printed.out.endswith("\nnothing is wrong\n")


def test_json_has_the_same(mpal: Mpal, file: Path) -> None:
    """--json gives sizes in bytes, rows by state and the findings."""
    report = json.loads(mpal("doctor", "--json").out)
    assert report["findings"] == []
    assert report["rows"] == {"completed": 1}
    assert (report["journal_mode"], report["schema"]) == ("wal", REVISION)
    assert report["database"] == str(file)
    assert report["tables"]["exchanges"] > 0
    assert report["free_disk"] > 0


def test_a_key_that_others_can_read(mpal: Mpal, file: Path) -> None:
    """A config.yaml with a key that other users of the machine can read is a finding, with the command against it."""
    config = file.parent / "config.yaml"
    config.write_text("start: {key: sk-1}")
    config.chmod(0o644)
    printed = mpal("doctor")
    assert printed.code == 1
    assert "config.yaml holds a key that other users can read\n    → chmod 600 " in printed.out
    assert "sk-1" not in printed.out
    config.chmod(0o600)
    assert mpal("doctor").code == 0


NO_PIECE = "UPDATE exchanges SET request_parts = '[987654]' WHERE id = 1"
NO_OWNER = "INSERT INTO exchange_tags (exchange_id, tag) VALUES (999, 'lost')"
DEAD = (
    "INSERT INTO runs VALUES ('r', 'elsewhere', 1, '0', 0, 0, NULL, NULL)",
    "UPDATE exchanges SET state = 'in_flight', run_id = 'r' WHERE id = 1",
)


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        ((NO_PIECE,), "1 calls have lost a piece of a body: 1"),
        (("UPDATE exchanges SET response_parts = 'nonsense' WHERE id = 1",), "1 calls have lost a piece of a body: 1"),
        ((NO_OWNER,), "refers to a row of exchanges that does not exist"),
        (DEAD, "1 calls are in flight of a proxy that has died"),
    ],
)
def test_what_is_wrong_inside(mpal: Mpal, file: Path, statements: tuple[str, ...], what: str) -> None:
    """Each fault is reported with advice, and the exit code is 1."""
    change(file, *statements)
    printed = mpal("doctor")
    assert printed.code == 1
    assert what in printed.out
    assert "    → " in printed.out
    (finding,) = json.loads(mpal("doctor", "--json").out)["findings"]
    assert what in finding["what"]
    assert finding["advice"]


def test_damaged_file(mpal: Mpal, store: Any, file: Path) -> None:
    """A file with inconsistent pages is reported as damaged, and not queried further."""
    for _ in range(200):
        store.add(request=b"x" * 500)
    store.engine.dispose()
    with closing(sqlite3.connect(file)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'exchanges_uuid'").fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with file.open("r+b") as raw:
        raw.seek((page - 1) * size + size // 2)
        raw.write(b"\xff" * (size // 2))
    printed = mpal("doctor")
    assert printed.code == 1
    assert "damaged" in printed.out + printed.err or "malformed" in printed.err


def test_other_journal_mode(mpal: Mpal, store: Any, file: Path) -> None:
    """A file that another program took out of WAL mode is reported."""
    store.engine.dispose()
    change(file, "PRAGMA journal_mode = DELETE")
    printed = mpal("doctor")
    assert printed.code == 1
    assert "the journal mode is delete" in printed.out


@pytest.mark.parametrize("name", ["moonpalace.sqlite", "moonpalace.original-20260101-000000.sqlite", "."])
def test_open_permissions(mpal: Mpal, file: Path, name: str) -> None:
    """The file, its backups and the folder must be private; the suggested chmod corrects it."""
    path = file.parent if name == "." else file.with_name(name)
    if not path.exists():
        path.touch()
    right = 0o700 if path.is_dir() else 0o600
    path.chmod(0o755 if path.is_dir() else 0o644)
    printed = mpal("doctor")
    assert printed.code == 1
    assert f"{path} can be used by others" in printed.out
    assert f"→ chmod {right:o} {path}" in printed.out
    path.chmod(right)
    for beside in file.parent.iterdir():
        beside.chmod(0o600)
    assert mpal("doctor").code == 0


def test_left_of_a_killed_upgrade(mpal: Mpal, file: Path) -> None:
    """The folder of a killed upgrade is reported."""
    (file.parent / ".moonpalace.sqlite.upgrade").mkdir()
    printed = mpal("doctor")
    assert printed.code == 1
    assert "is left from an interrupted upgrade" in printed.out


def test_full_disk(mpal: Mpal, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with little space is reported before it is full."""
    assert file.exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50_000_000))
    printed = mpal("doctor")
    assert printed.code == 1
    assert "the disk has only 50 MB left" in printed.out


def test_calls_beside_the_store(mpal: Mpal, file: Path) -> None:
    """The journal of a dead proxy is reported, and who will store it."""
    journal = file.with_name("moonpalace.sqlite.some-run.journal")
    journal.write_bytes(MAGIC + b"x" * 1_500_000)
    journal.chmod(0o600)
    printed = mpal("doctor")
    assert printed.code == 1
    assert f"1.5 MB of calls wait in {journal}, left by a proxy that has ended" in printed.out
    assert "the next mpal start stores them" in printed.out


def test_what_only_looks_like_calls(mpal: Mpal, file: Path) -> None:
    """A file with the name of a journal that is not one is reported, without blocking on it."""
    other, pipe = (file.with_name(f"moonpalace.sqlite.{name}.journal") for name in ("a", "b"))
    other.write_text("something else")
    os.mkfifo(pipe)
    printed = mpal("doctor")
    assert printed.code == 1
    assert f"{other} has the name of a journal but cannot be read: another version" in printed.out
    assert f"{pipe} has the name of a journal but cannot be read: it is not a regular file" in printed.out
    assert "calls wait in" not in printed.out


def test_calls_that_could_not_be_stored(mpal: Mpal, file: Path) -> None:
    """A kept journal is reported, and so is one of another store in the same folder."""
    kept = file.with_name("moonpalace.sqlite.some-run.journal.kept")
    kept.write_bytes(MAGIC)
    kept.chmod(0o600)
    other = file.with_name("postgresql-0123456789ab.0a6f27a4-1c1c-4b02-9e5c-6a0e7b0c0001.journal")
    other.write_bytes(MAGIC)
    printed = mpal("doctor")
    assert printed.code == 1
    assert f"something in {kept} could not be read" in printed.out
    assert f"calls of another store wait in {other}" in printed.out
    assert json.loads(mpal("doctor", "--json").out)["kept_journals"] == [str(kept)]


def test_secrets_of_calls_beside_the_store(mpal: Mpal, file: Path) -> None:
    """With --secrets calls in a journal are searched, too; a journal that cannot be is named."""
    journal = Journal.create(file.with_name("moonpalace.sqlite.run-1.journal"), {"id": "run-1"})
    journal.add([pack(Unit("u", {"path": f"/{KEY}"}))])
    other = file.with_name("moonpalace.sqlite.run-2.journal")
    other.write_text("something else")
    printed = mpal("doctor", "--secrets", "--json")
    assert printed.code == 1
    (hit,) = json.loads(printed.out)["hits"]
    assert (hit["call"], hit["field"]) == (None, f"path of a call in {journal.path.name}")
    assert printed.err == f"{other} could not be searched: another version of MoonPalace wrote it, or none at all\n"
    journal.close()


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_no_database(mpal: Mpal, flags: list[str]) -> None:
    """Without a database the exit code is 1, with the reason."""
    printed = mpal("doctor", *flags)
    assert printed.code == 1
    assert "there is no database at" in printed.out + printed.err


def test_file_of_the_original_is_upgraded(mpal: Mpal, tmp_path: Path) -> None:
    """Any command upgrades a file of the original, including this one; the backup is named later, too."""
    file = tmp_path / "home" / "moonpalace.sqlite"
    file.parent.mkdir(mode=0o700)
    shutil.copyfile(REFERENCE, file)
    printed = mpal("doctor")
    assert printed.code == 0, printed.out
    assert "38 completed, 3 proxy_died, 3 repeat_interrupted, 5 upstream_failed" in printed.out
    assert "old file      " in printed.out


def test_no_secret(mpal: Mpal, file: Path) -> None:
    """A store without secrets gives exit code 0, with the amount searched and the time."""
    assert file.exists()
    printed = mpal("doctor", "--secrets")
    assert printed.code == 0
    assert re.fullmatch(r"searched [\d.]+ \w*B in [\d.]+ s: nothing looks like a key or token\n", printed.out)


def test_secrets_are_found_and_not_printed(mpal: Mpal, store: Any, file: Path) -> None:
    """Calls and fields are named, the secret is masked, and the exit code is 1."""
    body = json.dumps({"messages": [{"role": "user", "content": f"the key is\n{KEY}"}]}).encode()
    number = store.add(request=body, response=b"{}")
    labels.change(store.engine, [1], labels.Change(note=f"{KEY}!"))
    assert file.exists()
    printed = mpal("doctor", "--secrets")
    assert printed.code == 1
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.out.splitlines() if line[0] == "|"]
    shown = f"sk-9… ({len(KEY)} characters)"
    assert rows[1:] == [["1", "note", "API key", shown], [str(number), "request body", "API key", shown]]
    assert KEY not in printed.out + printed.err
    document = json.loads(mpal("doctor", "--secrets", "--json").out)
    assert [hit["call"] for hit in document["hits"]] == [1, number]
    assert KEY not in json.dumps(document)
