"""Tests of indexing while the proxy runs."""

import threading
import time
from collections.abc import Callable, Generator, Iterator

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.upkeep import indexer as indexer_module
from moonpalace_addons.store.upkeep import indexing, search_blocks
from moonpalace_addons.store.upkeep.indexer import BUSY_PAUSE_FACTOR, PAUSE_FACTOR, Indexer
from moonpalace_addons.store.upkeep.search_blocks import BLOCK_SIZE
from tests.batches import Batch
from tests.tasks import ended, request_read
from tests.waiting import until

type Steps = Generator[None, None, bool]


@pytest.fixture
def store(engine: Engine, run_id: str) -> Callable[[int], None]:
    """Return a function that stores this many blocks of calls."""

    def put(blocks: int) -> None:
        batch = Batch(run_id, b"k" * 32)
        for _ in range(blocks * BLOCK_SIZE):
            call = request_read()
            batch.plan([call, ended(call)], keep=False)
        with writing(engine) as connection:
            batch.store(connection)

    return put


@pytest.fixture
def indexer(engine: Engine) -> Iterator[Indexer]:
    """Give an indexer, not started."""
    found = Indexer(engine)
    yield found
    found.stop()


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list of indexed blocks, in their order."""
    blocks = list[int]()
    real = indexing.index

    def index(engine: Engine, block: int) -> Steps:
        blocks.append(block)
        return real(engine, block)

    monkeypatch.setattr(indexing, "index", index)
    return blocks


def missing(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return search_blocks.missing(connection, 0, search_blocks.open_block(connection))


def test_it_works_on_a_thread(engine: Engine, store: Callable[[int], None], indexer: Indexer) -> None:
    """Once started, it indexes new calls repeatedly, until it is stopped."""
    indexer.first = indexer.interval = 0.01
    indexer.start()
    for _ in range(2):
        store(2)
        until(lambda: not missing(engine))
    indexer.stop()
    assert not indexer._thread.is_alive()


def test_the_newest_come_first(store: Callable[[int], None], indexer: Indexer, indexed: list[int]) -> None:
    """The most searched calls are indexed first; a later run continues from the last."""
    store(3)
    indexer.look()
    assert indexed == [2, 1, 0]
    indexer.look()
    store(1)
    indexer.look()
    assert indexed == [2, 1, 0, 3]
    assert indexer._from == 4


def test_what_could_not_be_done_is_tried_again(
    engine: Engine, store: Callable[[int], None], indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block with a call in flight is tried again in the next run."""

    def put_off(_: Engine, __: int) -> Steps:
        yield
        return False

    store(2)
    with monkeypatch.context() as patch:
        patch.setattr(indexing, "index", put_off)
        indexer.look()
    assert missing(engine) == [1, 0]
    indexer.look()
    assert missing(engine) == []


def test_blocks_that_changed_are_found(
    engine: Engine, store: Callable[[int], None], indexer: Indexer, indexed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then a run checks all calls, because old blocks may have lost their index."""
    store(3)
    indexer.look()
    with writing(engine) as connection:
        search_blocks.forget(connection, [1])
    indexer.look()
    assert indexed == [2, 1, 0]
    monkeypatch.setattr(indexer_module, "FULL_SCAN_INTERVAL", 0)
    indexer.look()
    assert indexed == [2, 1, 0, 1]


def test_it_rests(indexer: Indexer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some milliseconds of work it pauses for several times as long."""
    now, rests = 0.0, list[float]()

    def work() -> Steps:
        nonlocal now
        for took in (0.001, 0.0005, 0.001, 0.01, 0.001):
            now += took
            yield
        return True

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    monkeypatch.setattr(threading.Event, "wait", lambda _, seconds: rests.append(seconds))
    assert indexer._run(work())
    assert rests == [pytest.approx(0.0025 * PAUSE_FACTOR), pytest.approx(0.01 * PAUSE_FACTOR)]


def test_it_rests_longer_while_the_process_is_busy(indexer: Indexer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the process uses most of a processor, the calls to be stored come first."""
    now, used, rests = 10.0, 1.0, list[float]()

    def work() -> Steps:
        nonlocal now, used
        for busy in (0.1, 0.9, 0.1):  # shares of a processor
            now += 0.01
            used += 0.01 * busy
            yield
        return True

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(time, "process_time", lambda: used)
    monkeypatch.setattr(threading.Event, "wait", lambda _, seconds: rests.append(seconds))
    assert indexer._run(work())
    assert rests == [pytest.approx(0.01 * factor) for factor in (PAUSE_FACTOR, BUSY_PAUSE_FACTOR, PAUSE_FACTOR)]


def test_a_stop_ends_it(engine: Engine, store: Callable[[int], None], indexer: Indexer) -> None:
    """When stopped, it indexes nothing more."""
    store(2)
    indexer.stop()
    indexer.look()
    assert missing(engine) == [1, 0]


def test_trouble_is_logged_once(
    indexer: Indexer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No exception leaves the thread; the same one is logged once, until a run succeeds."""
    words = ["disk full", "disk full", "", "disk full"]

    def fail(_: object) -> int:
        if word := words.pop(0):
            raise OSError(word)
        return 0

    monkeypatch.setattr(search_blocks, "open_block", fail)
    for _ in range(4):
        indexer.look()
    assert [record.getMessage() for record in caplog.records] == [
        "store: the index of words could not be kept: disk full; retrying later"
    ] * 2
