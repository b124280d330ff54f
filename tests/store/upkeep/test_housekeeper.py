"""Tests of limiting the store while the proxy runs."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, event, text

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import deliveries, exchanges
from moonpalace_addons.store.records.deliveries import DeliveryState
from moonpalace_addons.store.upkeep import cleaning, housekeeper, retention, space
from moonpalace_addons.store.upkeep.housekeeper import Housekeeper, enforce
from tests.batches import Batch
from tests.tasks import ended, request_read
from tests.waiting import until


@pytest.fixture
def store(engine: Engine, run_id: str) -> Callable[[float], int]:
    """Return a function that stores a call that began this many days ago, with 100 KB, and returns its id."""

    def put(days: float) -> int:
        began = datetime.now(UTC) - timedelta(days=days)
        body = f"{days}".encode().ljust(100, b"-") * 1000
        call = request_read(started_at=int(began.timestamp() * 1e6), body=body)
        batch = Batch(run_id, b"k" * 32)
        batch.plan([call, ended(call)], keep=False)
        with writing(engine) as connection:
            batch.store(connection)
        return exchanges.latest(engine, limit=1)[0].id

    return put


@pytest.fixture
def keeper(engine: Engine) -> Iterator[Housekeeper]:
    """Give a housekeeper that keeps calls for a week, not started."""
    found = Housekeeper(engine, days=7, max_size=None)
    yield found
    found.stop()


def left(engine: Engine) -> list[int]:
    return [call.id for call in exchanges.latest(engine, limit=99)]


def test_reports_go_after_their_calls(engine: Engine, store: Callable[[float], int]) -> None:
    """The report of a deleted call is kept for a week after it was sent."""
    delivery = deliveries.wanted(engine, store(8), 5, "chat", again=False)
    deliveries.set_state(engine, delivery, DeliveryState.SENT, address="there")
    stop = threading.Event()
    assert enforce(engine, days=7, max_size=None, stop=stop) == 1
    assert reports(engine) == [(None, "there")]
    assert enforce(engine, days=7, max_size=None, stop=stop) == 0
    assert reports(engine) == [(None, "there")]
    with writing(engine) as connection:
        connection.execute(text(f"UPDATE deliveries SET changed_at = changed_at - {deliveries.KEPT_TIME + 1}"))
    assert enforce(engine, days=7, max_size=None, stop=stop) == 0
    assert reports(engine) == []


def reports(engine: Engine) -> list[tuple[int | None, str | None]]:
    with engine.connect() as connection:
        return [(each.exchange_id, each.address) for each in deliveries.read(connection)]


def test_old_calls_go(engine: Engine, store: Callable[[float], int]) -> None:
    """Calls older than the limit are deleted, labelled and younger ones are kept."""
    store(8)
    good = store(9)
    new = store(6)
    with writing(engine) as connection:
        exchanges.update_exchanges(connection, [{"id": good, "category": "goodcase"}])
    stop = threading.Event()
    assert enforce(engine, days=7, max_size=None, stop=stop) == 1
    assert left(engine) == [new, good]
    assert enforce(engine, days=7, max_size=None, stop=stop) == 0
    assert enforce(engine, days=None, max_size=None, stop=stop) == 0


def test_the_oldest_calls_go_above_the_size(engine: Engine, store: Callable[[float], int]) -> None:
    """The oldest calls of a store that is too large are deleted until it fits."""
    ids = [store(10 - number / 10) for number in range(8)]
    limit = space.size(engine) - 10_000
    assert enforce(engine, days=None, max_size=limit, stop=threading.Event()) >= 1
    assert space.size(engine) <= limit
    assert left(engine)[0] == ids[-1]
    assert ids[0] not in left(engine)


def test_nothing_is_written_without_need(
    engine: Engine, store: Callable[[float], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that finds nothing to delete takes no lock."""
    store(1)
    monkeypatch.delattr(cleaning, "clean")
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    enforce(engine, days=7, max_size=10**12, stop=threading.Event())
    assert statements
    assert not [one for one in statements if one.split()[0] in ("INSERT", "UPDATE", "DELETE") or "IMMEDIATE" in one]


def test_what_was_interrupted_is_finished(engine: Engine, store: Callable[[float], int]) -> None:
    """Pieces left by a clean-up are deleted although no call is old."""
    call = store(1)
    with writing(engine, alone=True) as connection:
        retention.delete_calls(connection, [call], include_labelled=False)
    enforce(engine, days=7, max_size=None, stop=threading.Event())
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM parts")).scalar_one() == 0


def test_it_works_on_a_thread(engine: Engine, store: Callable[[float], int], keeper: Housekeeper) -> None:
    """Once started, it cleans up repeatedly until it is stopped."""
    keeper.first = keeper.interval = 0.01
    store(8)
    keeper.start()
    until(lambda: not left(engine))
    store(8)
    until(lambda: not left(engine))
    keeper.stop()
    assert not keeper._thread.is_alive()


def test_without_settings_there_is_no_thread(engine: Engine) -> None:
    """Without limits nothing is started, and stopping does no harm."""
    idle = Housekeeper(engine, days=None, max_size=None)
    idle.start()
    assert not idle._thread.is_alive()
    idle.stop()


def test_trouble_is_logged_once(
    keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No exception leaves the thread; the same one is logged once, until a run succeeds."""
    words = ["disk full", "disk full", "", "disk full"]

    def fail(*_: object, **__: object) -> int:
        if word := words.pop(0):
            raise OSError(word)
        return 0

    monkeypatch.setattr(housekeeper, "enforce", fail)
    for _ in range(4):
        keeper.look()
    assert [record.getMessage() for record in caplog.records] == [
        "store: old calls could not be deleted: disk full; retrying later"
    ] * 2
