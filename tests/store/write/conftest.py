"""Writers with short delays, and stores that fail."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moonpalace_addons.store.database import engine as engine_module
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.write import attempts
from moonpalace_addons.store.write import writer as writer_module
from moonpalace_addons.store.write.writer import Observer, Writer
from tests.batches import Batch
from tests.store.write.troubled import Start, Switch


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the writer's delays short."""
    monkeypatch.setattr(writer_module, "BATCH_INTERVAL", 0.002)
    monkeypatch.setattr(writer_module, "SEGMENT_INTERVAL", 0.02)
    monkeypatch.setattr(writer_module, "RETRY_MIN_DELAY", 0.005)
    monkeypatch.setattr(writer_module, "RETRY_MAX_DELAY", 0.02)
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT", 0.02)


@pytest.fixture
def quicker(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the writer neither delay short calls nor wait long for a store at its stop."""
    monkeypatch.setattr(writer_module, "HOLD_TIME", 0.0)
    monkeypatch.setattr(writer_module, "JOURNALED_DRAIN_TIMEOUT", 0.05)


@pytest.fixture
def locked(file: Path) -> Iterator[Callable[[], None]]:
    """Lock the store from another connection; give a function that releases it."""
    holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    yield lambda: holder.execute("ROLLBACK").close()
    holder.close()


def starting(url: str, journals: Path | None) -> Iterator[Start]:
    """Give a function that starts a writer on a store; running ones are stopped at the end."""
    writers = []

    def make(observer: Observer | None = None) -> Writer:
        writer = Writer(open_store(url), observer, journals)
        writers.append(writer)
        writer.start()
        return writer

    yield make
    for writer in writers:
        writer.stop()
        writer.engine.dispose()


@pytest.fixture
def start(store_url: str, tmp_path: Path) -> Iterator[Start]:
    """Give a function that starts a writer with a journal on the test's store."""
    yield from starting(store_url, tmp_path)


@pytest.fixture
def start_plain(file: Path) -> Iterator[Start]:
    """Give a function that starts a writer without a journal on the test's store in a file."""
    yield from starting(f"sqlite:///{file}", None)


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Switch:
    """Give a switch that makes the store fail."""
    made = Switch()
    monkeypatch.setattr(attempts, "writing", made.writing)
    return made


@pytest.fixture
def batch(run_id: str) -> Batch:
    """Give a batch of a run that is recorded."""
    return Batch(run_id, b"k" * 32)
