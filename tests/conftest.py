"""Fixtures with an empty store and a PostgreSQL server."""

import gc
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from moonpalace_cli.deferred_imports import uncollected
from tests.compiled_modules import compiled_once, turn_to_import
from tests.compiled_statements import share_compiled_statements
from tests.forks import Forks
from tests.postgres_server import Databases, EmptyStore, PostgresServer, databases, shared_cluster


def pytest_configure(config: pytest.Config) -> None:
    """Create one PostgreSQL cluster for all servers of a run, and compile modules once."""
    # Without it each of some hundred processes compiles all of our code, whatever the environment says.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    share_compiled_statements()
    ended = ExitStack()
    ended.enter_context(shared_cluster())
    ended.enter_context(compiled_once())
    config.add_cleanup(ended.close)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without the garbage collector, which then ignores them."""
    with turn_to_import(), uncollected():
        found = yield
        gc.freeze()
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests of whole programs: they wait while the others compute, and share programs by module.

    A process that has run out of tests takes the last ones of another, and would start the programs of these anew.
    """
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Collect garbage once: pytest, and Python at its end, would do it several times, each a second of a full run."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Databases]:
    """Give the databases of a server shared by the tests of this process."""
    with databases() as found:
        yield found


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """Give a server for one test, which may stop and restart it."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres_template(postgres: Databases) -> Iterator[str]:
    """Give the name of a database with an empty store: copying it costs less than the migrations."""
    from moonpalace_addons.store.database.opening import open_store  # most tests want neither it nor a server

    with postgres.database() as name:
        open_store(postgres.url(name), create=True).dispose()
        yield name


@pytest.fixture(scope="session")
def postgres_store(postgres: Databases, postgres_template: str) -> Iterator[EmptyStore]:
    """Give a store that is emptied after each test."""
    store = EmptyStore(postgres, postgres_template)
    yield store
    store.close()


@pytest.fixture
def postgres_url(postgres_store: EmptyStore) -> Iterator[str]:
    """Give the URL of an empty store in a PostgreSQL database that only this test uses."""
    yield postgres_store.url
    postgres_store.clear()


@pytest.fixture
def postgres_blank_url(postgres: Databases) -> Iterator[str]:
    """Give the URL of a PostgreSQL database without any table."""
    with postgres.database() as name:
        yield postgres.url(name)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one empty store to copy: migrating takes longer than most tests."""
    from moonpalace_addons.store.database.opening import open_store  # most tests want no store

    file = tmp_path_factory.mktemp("empty") / "moonpalace.sqlite"
    open_store(f"sqlite:///{file}", create=True).dispose()
    return file


@pytest.fixture(scope="session")
def writers() -> Iterator[Forks]:
    """Give the process from which writers are forked, which takes a tenth of the time of starting them."""
    found = Forks("writer", os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)})
    yield found
    found.close()


@pytest.fixture
def forked_writers(writers: Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the writers that this process starts."""
    from moonpalace_addons.writer_process import process  # most tests want no writer
    from tests.forked_writer import popen_from, subprocess_with

    monkeypatch.setattr(process, "subprocess", subprocess_with(popen_from(writers)))
