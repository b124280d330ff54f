"""Tests of several proxies on one store."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import contents, exchanges, runs
from moonpalace_addons.store.records.clock import database_now
from moonpalace_addons.store.tasks import RequestRead, State
from moonpalace_addons.store.write import recovery
from moonpalace_addons.store.write.recovery import HEARTBEAT_TIMEOUT, recover
from moonpalace_addons.store.write.writer import Writer
from tests.batches import Batch
from tests.tasks import ended, request_read, response_started
from tests.waiting import until

HOUR = 3600 * 10**9
PROXIES, CALLS = 4, 100

type Leave = Callable[..., None]


@pytest.fixture
def engines(engine: Engine, store_url: str) -> Iterator[list[Engine]]:
    """Give an engine for each proxy, all of them for one store."""
    others = [open_store(store_url) for _ in range(PROXIES - 1)]
    yield [engine, *others]
    for other in others:
        other.dispose()


@pytest.fixture
def leave(engine: Engine) -> Leave:
    """Give a function that leaves calls in progress of a proxy on another machine, with its last heartbeat."""

    def make(heard: int, count: int = 1) -> None:
        run = {"id": str(uuid4()), "host": "elsewhere", "pid": 1, "version": "0", "heartbeat_at": heard}
        batch = Batch(run["id"], b"k" * 32)  # type: ignore[arg-type]
        batch.plan([request_read() for _ in range(count)], keep=False)
        with writing(engine) as connection:
            runs.begin_run(connection, run)
            batch.store(connection)

    return make


def at_once(*jobs: Callable[[], object]) -> list[object]:
    """Run jobs concurrently in threads; return their results, or raise an exception of one."""
    start = threading.Barrier(len(jobs))
    results: list[object] = [None] * len(jobs)

    def do(number: int) -> None:
        start.wait()
        try:
            results[number] = jobs[number]()
        except Exception as error:  # noqa: BLE001 - raised again below, where the test sees it
            results[number] = error

    threads = [threading.Thread(target=do, args=[number]) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def states(engine: Engine) -> list[State]:
    return [call.state for call in exchanges.latest(engine, limit=10_000)]


def test_proxies_that_write_at_once_lose_nothing(
    engine: Engine, engines: list[Engine], caplog: pytest.LogCaptureFixture
) -> None:
    """Calls that several proxies store at the same time, many with the same bodies, are all stored, with unique ids."""
    writers = [Writer(each) for each in engines]
    asked: list[list[RequestRead]] = [[] for _ in writers]

    def work(number: int) -> bool:
        writer = writers[number]
        writer.start()
        for count in range(CALLS):
            shared = b'{"messages": ["%s", "%d"]}' % (b"the same for all " * 100, count % 7)
            call = request_read(body=shared + b" " * (number if count % 2 else 0))
            asked[number].append(call)
            writer.put(call)
            writer.put(ended(call, response=response_started(call)))
        return writer.stop()

    assert at_once(*(partial(work, number) for number in range(PROXIES))) == [True] * PROXIES
    rows = exchanges.latest(engine, limit=10_000)
    assert len({row.id for row in rows}) == len(rows) == PROXIES * CALLS
    assert {row.state for row in rows} == {State.COMPLETED}
    sent = {call.uuid: call.body for calls in asked for call in calls}
    assert {row.uuid: contents.bodies(engine, row.id).request for row in rows} == sent
    assert caplog.messages == []


def test_all_proxies_have_one_fingerprint_key(engines: list[Engine]) -> None:
    """One API key has one fingerprint, whichever proxy it is used with."""
    writers = [Writer(each) for each in engines]
    assert len({writer._batch.fingerprint_key for writer in writers}) == 1


@pytest.mark.usefixtures("old_server")
def test_those_who_start_at_once_finish_each_call_once(engines: list[Engine], leave: Leave) -> None:
    """If several proxies find the same dead ones, each of their calls is finished by one."""
    for _ in range(5):
        leave(1, 10)

    def start(engine: Engine) -> int:
        with writing(engine) as connection:
            return recover(connection, ())

    counts = at_once(*(partial(start, each) for each in engines))
    assert sum(int(str(count)) for count in counts) == 50
    assert states(engines[0]) == [State.PROXY_DIED] * 50


@pytest.mark.usefixtures("old_server")
@pytest.mark.parametrize("wrong", ["living", "starting"])
@pytest.mark.parametrize("skew", [-HOUR, HOUR])
def test_a_wrong_clock_kills_nobody(
    engines: list[Engine], monkeypatch: pytest.MonkeyPatch, wrong: str, skew: int
) -> None:
    """A wrong clock, of a living proxy or of one that starts on another machine, does not end calls."""
    right = time.time_ns
    with monkeypatch.context() as patch:
        if wrong == "living":
            patch.setattr(time, "time_ns", lambda: right() + skew)
        living = Writer(engines[0])
        living.start()
        call = request_read()
        living.put(call)
        wait_for_row(engines[0], call.uuid)
    with monkeypatch.context() as patch, writing(engines[1]) as connection:
        patch.setattr(recovery, "host_name", lambda: "another machine")
        if wrong == "starting":
            patch.setattr(time, "time_ns", lambda: right() + skew)
        assert recover(connection, ()) == 0
    living.put(ended(call))
    assert living.stop()
    assert states(engines[1]) == [State.COMPLETED]


def wait_for_row(engine: Engine, uuid: str) -> None:
    until(lambda: any(row.uuid == uuid for row in exchanges.latest(engine, limit=10)))


def test_silence_while_the_server_was_down_kills_nobody(
    engine: Engine, leave: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the server was down for long no heartbeat can be recent; proxies that stay silent then are dead."""
    leave(int(time.time() * 1e6) - 10 * HEARTBEAT_TIMEOUT)
    monkeypatch.setattr(runs, "database_started", lambda: database_now() - HEARTBEAT_TIMEOUT // 2)
    with writing(engine) as connection:
        assert recover(connection, ()) == 0
    monkeypatch.setattr(runs, "database_started", lambda: database_now() - 2 * HEARTBEAT_TIMEOUT)
    with writing(engine) as connection:
        assert recover(connection, ()) == 1


def test_the_clock_of_the_database_is_a_clock(engine: Engine) -> None:
    """It gives microseconds since the epoch, and equals this machine's clock if the database is on it."""
    before = time.time_ns() // 1000
    with engine.connect() as connection:
        now = connection.execute(database_now()).scalar_one()
    assert before - 1000 <= now <= time.time_ns() // 1000 + 1000


def test_a_proxy_that_was_taken_for_dead_has_the_last_word(
    engines: list[Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If its call was finished by another meanwhile, the row gets the actual end, once."""
    writer = Writer(engines[0])
    writer.start()
    call = request_read()
    writer.put(call)
    wait_for_row(engines[0], call.uuid)
    monkeypatch.setattr(recovery, "HEARTBEAT_TIMEOUT", -1)
    monkeypatch.setattr(runs, "database_started", lambda: database_now() - 10)
    with writing(engines[1]) as connection:
        assert recover(connection, ()) == 1
    assert states(engines[1]) == [State.PROXY_DIED]
    writer.put(ended(call, response=response_started(call, [b"the whole"])))
    assert writer.stop()
    (row,) = exchanges.latest(engines[1], limit=9)
    assert (row.state, row.error_kind, row.error_message) == (State.COMPLETED, None, None)
    assert contents.bodies(engines[1], row.id) == contents.Bodies(call.body, b"the whole", None)


def test_ids_of_a_transaction_that_failed_are_not_used_again(engine: Engine, run_id: str) -> None:
    """After a failed transaction, later calls have new ids in their order."""
    batch = Batch(run_id, b"k" * 32)
    batch.plan([request_read(), request_read()], keep=False)

    def fail() -> None:
        with writing(engine) as connection:
            batch.store(connection)
            connection.execute(text("SELECT no_such_column FROM runs"))

    with pytest.raises(Exception, match="no_such_column"):
        fail()
    with writing(engine) as connection:
        batch.store(connection)
    ids = [call.id for call in exchanges.latest(engine, limit=9)]
    assert len(ids) == 2
    assert ids == sorted(ids, reverse=True)
