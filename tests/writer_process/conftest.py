"""A store, and the client of the process that writes to it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moonpalace_addons.settings.values import Settings
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.write.host import new_run
from moonpalace_addons.writer_process import client as client_module
from moonpalace_addons.writer_process.client import WriterClient
from moonpalace_addons.writer_process.messages import Opening


@pytest.fixture(autouse=True)
def forked(request: pytest.FixtureRequest) -> None:
    """Fork writers for all tests except those of the process's start."""
    if not request.node.get_closest_marker("fresh"):
        request.getfixturevalue("forked_writers")


@pytest.fixture
def file(tmp_path: Path, empty_store: Path) -> Path:
    """Give the file of an empty store."""
    return Path(shutil.copyfile(empty_store, tmp_path / "calls.sqlite"))


@pytest.fixture
def opening(file: Path) -> Opening:
    """Give the first message of a proxy."""
    return Opening(Settings(database=f"sqlite:///{file}", home=file.parent), new_run())


@pytest.fixture
def client(opening: Opening, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriterClient]:
    """Give a client whose process has opened the store; it is stopped at the end."""
    monkeypatch.setattr(client_module, "RESTART_MIN_DELAY", 0.01)
    client = WriterClient(opening)
    yield client
    client.stop()


@pytest.fixture
def rows(file: Path) -> Callable[[], list[Exchange]]:
    """Give a function that returns the rows of the store, the first call first."""

    def read() -> list[Exchange]:
        engine = open_store(f"sqlite:///{file}")
        try:
            return exchanges.latest(engine, limit=1000)[::-1]
        finally:
            engine.dispose()

    return read
