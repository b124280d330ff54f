"""An empty store in a folder of the test, and the tasks of a plain call."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, literal

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import runs
from tests.store.added import add, rows  # noqa: F401 - fixtures


@pytest.fixture
def shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the time zone to Shanghai, where the original's file was written and predicates are tested."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def file(tmp_path: Path, empty_store: Path) -> Path:
    """Give the file of an empty store."""
    return Path(shutil.copyfile(empty_store, tmp_path / "moonpalace.sqlite"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of a store on both databases, but one with the `file` only on SQLite."""
    if "database" in metafunc.fixturenames:
        databases = ["sqlite"] if "file" in metafunc.fixturenames else ["sqlite", "postgresql"]
        metafunc.parametrize("database", databases, indirect=True, scope="function")


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """Give the kind of database that the test runs on."""
    return str(request.param)


@pytest.fixture
def store_url(request: pytest.FixtureRequest, database: str) -> str:
    """Give the URL of an empty store of the test's own."""
    # Not by parameter: a server is started only for tests that need one, and `file` marks those that want no server.
    if database == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{request.getfixturevalue('file')}"


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    """Give an engine on an empty store."""
    engine = open_store(store_url)
    yield engine
    engine.dispose()


@pytest.fixture
def old_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the database has been available for long: the tests' PostgreSQL server has just started."""
    monkeypatch.setattr(runs, "database_started", lambda: literal(0))


@pytest.fixture
def run_id(engine: Engine) -> str:
    """Record a run for rows to belong to; return its id."""
    run = {"id": str(uuid4()), "host": "elsewhere", "pid": 1, "version": "0", "started_at": 0, "heartbeat_at": 0}
    with writing(engine) as connection:
        runs.begin_run(connection, run)
    return str(run["id"])


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Set a umask that makes new files and folders readable by everybody."""
    before = os.umask(0)
    yield
    os.umask(before)
