"""Obstacles to an upgrade, and the result when it is killed."""

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections import namedtuple
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.incoming import upgrade
from tests.forks import Command, Forks
from tests.store.incoming.upgraded import REFERENCE, ROOT, backups_of, opened, rows_of

pytestmark = pytest.mark.usefixtures("shanghai")


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """Provide the process from which upgrading processes are forked."""
    found = Forks("store", {"PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("", "addons"))})
    yield found
    found.close()


def is_sound(file: Path) -> bool:
    """Return whether a file is sound according to SQLite, and has all 49 calls."""
    with closing(sqlite3.connect(file)) as connection:
        (checked,) = connection.execute("PRAGMA integrity_check").fetchone()
        (number,) = connection.execute("SELECT count(*) FROM moonshot_requests").fetchone()
    return (checked, number) == ("ok", 49)


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
    """Without space for the backup and the copies nothing is started, and the line says how much is needed."""
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil's own
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 1000, 1000))
    before = old.read_bytes()
    with pytest.raises(StoreError, match=r"which is unchanged: that needs 18 MB in .*, 1 are free"):
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
def test_full_disk_leaves_the_old_file(forks: Forks, old: Path, limit: int) -> None:
    """If writing fails, in the backup or in the new file, the old one is unchanged and no partial file is left."""
    printed = run(forks, LIMITED, str(old), str(limit))
    assert printed.startswith(f"cannot upgrade {old}, which is unchanged: ")
    assert printed.count("\n") == 1
    assert is_sound(old)
    assert rows_of(old) == rows_of(REFERENCE)
    assert [path.name for path in old.parent.iterdir()] == [old.name]
    opened(old)
    assert rows_of(old)[48]["state"] == "completed"


def test_limit_is_what_stops_it(forks: Forks, old: Path) -> None:
    """The test above is meaningful: with enough space the same script upgrades."""
    assert run(forks, LIMITED, str(old), str(resource.RLIM_INFINITY)) == ""
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


def command(script: str, *arguments: str) -> Command:
    return Command("python", (script, *arguments), {"TZ": "Asia/Shanghai"})


def run(forks: Forks, script: str, *arguments: str, code: int = 0) -> str:
    """Run a script in a separate process; return its output."""
    done = forks.run(command(script, *arguments), 60)
    assert done.returncode == code, done.stderr
    return done.stdout.decode()


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
def test_killed_at_each_step(forks: Forks, old: Path, moment: str) -> None:
    """A process killed between two steps leaves the old file or the new one."""
    run(forks, f"{PREPARED}\n{moment}\nupgrade.upgrade(file)", str(old), code=-signal.SIGKILL)
    check_whole(old)


def test_killed_in_the_midst_of_the_copy(forks: Forks, old: Path) -> None:
    """If half of the pages are already new, the next opening restores the old file."""
    before = rows_of(old)
    run(forks, f"{PREPARED}\n{HALF_COPIED}\nupgrade.upgrade(file)", str(old), code=-signal.SIGKILL)
    assert Path(f"{old}-journal").stat().st_size > 0
    assert rows_of(old) == before
    check_whole(old)


UPGRADING = f"{PREPARED}\nupgrade.upgrade(file)"


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment(forks: Forks, old: Path, seed: int) -> None:
    """Killed after a random time, the upgrade leaves the old file or the new one."""
    process = forks.popen(command(UPGRADING, str(old)))
    with suppress(subprocess.TimeoutExpired):
        process.wait(random.Random(seed).uniform(0.001, 0.15))
    process.kill()
    process.output()
    check_whole(old)


def test_several_at_once(forks: Forks, old: Path) -> None:
    """Of several processes that open the file together, one upgrades it; the others find the work done."""
    processes = [forks.popen(command(UPGRADING, str(old))) for _ in range(3)]
    output = [process.output() for process in processes]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len([text for text in output if "has been upgraded, 49 calls" in text]) == 1
    assert len(backups_of(old)) == 1
    check_whole(old)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


SLOW = """
import time
real = upgrade.build
def build(*given):
    print('ready', flush=True)
    while not Path(sys.argv[2]).exists():
        time.sleep(0.01)
    return real(*given)
upgrade.build = build
"""


def test_other_waits_for_a_long_upgrade(
    forks: Forks, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that opens the file during a long upgrade waits for it."""
    go_on = tmp_path / "go on"
    process = forks.popen(command(f"{PREPARED}\n{SLOW}\nupgrade.upgrade(file)", str(old), str(go_on)))
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    monkeypatch.setattr("moonpalace_addons.store.database.engine.BUSY_TIMEOUT", 0.05)
    waited: list[str] = []

    def note(message: str, *_: object) -> None:
        waited.append(message)
        go_on.touch()

    monkeypatch.setattr(upgrade.logger, "warning", note)
    opened(old)
    process.output()
    assert process.wait() == 0
    assert waited == ["waiting for another process that is upgrading %s"]
    assert rows_of(old)[48]["state"] == "completed"
