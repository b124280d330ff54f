"""All files are private to their owner, whatever the umask and the folder."""

import os
import shutil
from pathlib import Path

import pytest

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.database.private import make_home
from moonpalace_addons.store.incoming import upgrade
from moonpalace_addons.store.journal.journal_file import Journal
from moonpalace_addons.store.records import runs

REFERENCE = Path(__file__).parents[2] / "data" / "go-v0.12" / "moonpalace.sqlite"
RUN = {"id": "r", "host": "here", "pid": 1, "version": "0"}


pytestmark = pytest.mark.usefixtures("open_umask")


def modes(folder: Path) -> dict[str, int]:
    """Return the permissions of all files in a folder."""
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def test_store_and_what_is_beside_it(tmp_path: Path) -> None:
    """The folder is created with 0700; the database, its write-ahead log and its index with 0600."""
    file = tmp_path / "made" / "moonpalace.sqlite"
    engine = open_store(f"sqlite:///{file}", create=True)
    with writing(engine) as connection:
        runs.begin_run(connection, dict(RUN))
    assert modes(file.parent) == dict.fromkeys((file.name, f"{file.name}-wal", f"{file.name}-shm"), 0o600)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    engine.dispose()


def test_nothing_is_open_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home, the store and its journal are private from their creation."""
    monkeypatch.setattr(os, "chmod", lambda path, *_, **__: pytest.fail(f"{path} was open until now"))
    home = tmp_path / "above" / "home"
    make_home(home)
    engine = open_store(f"sqlite:///{tmp_path / 'elsewhere' / 'moonpalace.sqlite'}", create=True)
    Journal.create(home / "some.journal", dict(RUN)).close()
    engine.dispose()
    made = [*tmp_path.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in made if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in made if path.is_file()} == {0o600}


def test_file_that_others_could_read(tmp_path: Path) -> None:
    """A proxy makes a file private that others could read."""
    file = tmp_path / "moonpalace.sqlite"
    open_store(f"sqlite:///{file}", create=True).dispose()
    file.chmod(0o644)
    open_store(f"sqlite:///{file}", create=True).dispose()
    assert modes(tmp_path) == {file.name: 0o600}


def test_journal(tmp_path: Path) -> None:
    """The journal is created with 0600."""
    journal = Journal.create(tmp_path / "some.journal", dict(RUN))
    assert modes(tmp_path) == {"some.journal": 0o600}
    journal.close()


def test_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files of an upgrade are private at any time; the old file becomes private before."""
    file = tmp_path / "moonpalace.sqlite"
    shutil.copyfile(REFERENCE, file)
    seen: dict[str, int] = {}
    real = upgrade.replace

    def replace(*given: object) -> None:
        folder = upgrade.Places(file).folder
        seen.update(modes(tmp_path) | modes(folder))
        real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(upgrade, "replace", replace)
    open_store(f"sqlite:///{file}").dispose()
    assert seen.pop(".moonpalace.sqlite.upgrade") == 0o700
    assert set(seen.values()) == {0o600}
    assert {"new.sqlite", "moonpalace.sqlite"} < set(seen)
    assert set(modes(tmp_path).values()) == {0o600}
    assert len(modes(tmp_path)) == 2
