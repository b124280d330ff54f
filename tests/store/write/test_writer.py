"""Tests of the writer, with its thread and real files."""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database import engine as engine_module
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.journal.journal_texts import journal_texts
from moonpalace_addons.store.records import contents, exchanges
from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State
from moonpalace_addons.store.write import writer as writer_module
from moonpalace_addons.store.write.attempts import Attempts, StoreResult
from moonpalace_addons.store.write.batch import Batch
from moonpalace_addons.store.write.pace import Pace
from moonpalace_addons.store.write.units import Unit, write
from moonpalace_addons.store.write.writer import Observer, Writer
from tests.store.backlog import Backlog, backlog

KEY = b"sk-0123456789abcdef"

type MakeRequest = Callable[..., RequestRead]
type MakeResponse = Callable[..., ResponseStarted]
type MakeEnd = Callable[..., ExchangeEnded]
type Start = Callable[..., Writer]
type Until = Callable[[Callable[[], object]], None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the writer's waits short."""
    monkeypatch.setattr(writer_module, "BATCH_INTERVAL", 0.002)
    monkeypatch.setattr(writer_module, "SEGMENT_INTERVAL", 0.02)
    monkeypatch.setattr(writer_module, "RETRY_MIN_DELAY", 0.005)
    monkeypatch.setattr(writer_module, "RETRY_MAX_DELAY", 0.02)
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT", 0.02)


@pytest.fixture
def start(file: Path) -> Iterator[Start]:
    """Give a function that starts a writer on the test's store; those that still run are stopped at the end."""
    writers = []

    def make(observer: Observer | None = None) -> Writer:
        writer = Writer(open_store(f"sqlite:///{file}"), observer)
        writers.append(writer)
        writer.start()
        return writer

    yield make
    for writer in writers:
        writer.stop()
        writer.engine.dispose()


@pytest.fixture
def locked(file: Path) -> Iterator[Callable[[], None]]:
    """Lock the store from another connection; give a function that lets it go."""
    holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    yield lambda: holder.execute("ROLLBACK").close()
    holder.close()


def rows(engine: Engine) -> list[Exchange]:
    return exchanges.latest(engine, limit=1000)[::-1]


def run_row(engine: Engine) -> dict[str, object]:
    with engine.connect() as connection:
        return dict(connection.execute(text("SELECT * FROM runs")).mappings().one())


def test_no_call_is_missing_after_a_stop(
    engine: Engine, start: Start, request_read: MakeRequest, response_started: MakeResponse, ended: MakeEnd
) -> None:
    """Calls that are put just before the stop, from several threads, are all stored, each once and whole."""
    seen: list[Exchange] = []
    writer = start(seen.append)

    def put(count: int) -> None:
        for _ in range(count):
            call = request_read()
            writer.put(call)
            writer.put(ended(call, response=response_started(call)))

    threads = [threading.Thread(target=put, args=[125]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.stop()
    stored = rows(engine)
    assert len(stored) == len({call.uuid for call in stored}) == 500
    assert {call.state for call in stored} == {State.COMPLETED}
    assert sorted(seen, key=lambda call: call.id) == stored
    assert None not in (contents.bodies(engine, 500).request, contents.bodies(engine, 500).response)


def test_the_end_of_a_run_is_written_down(engine: Engine, start: Start) -> None:
    """A run has its host and process from the beginning, and its end after a stop; a second stop changes nothing."""
    writer = start()
    before = run_row(engine)
    assert (before["id"], before["pid"], before["ended_at"]) == (writer.run_id, os.getpid(), None)
    assert writer.stop()
    after = run_row(engine)
    assert after["ended_at"] == after["heartbeat_at"]
    assert int(str(after["ended_at"])) >= int(str(after["started_at"]))
    assert writer.stop()
    assert run_row(engine) == after


def test_a_heartbeat_is_written(engine: Engine, start: Start, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy without calls still says that it lives."""
    monkeypatch.setattr(writer_module, "HEARTBEAT_INTERVAL", 0.01)
    start()
    first = run_row(engine)["heartbeat_at"]
    until(lambda: run_row(engine)["heartbeat_at"] != first)


def test_a_locked_store_is_waited_for(
    engine: Engine,
    start: Start,
    file: Path,
    until: Until,
    caplog: pytest.LogCaptureFixture,
    request_read: MakeRequest,
    ended: MakeEnd,
) -> None:
    """While another process holds the store calls go on; one warning says so; then all rows are there."""
    writer = start()
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    writer.put(request_read())
    until(lambda: backlog(writer).outage == "database is locked")
    for _ in range(20):
        call = request_read()
        writer.put(call)
        writer.put(ended(call))
    until(lambda: backlog(writer).calls == 21)
    assert backlog(writer).memory > 21 * len(request_read().body)
    assert rows(engine) == []
    holder.execute("ROLLBACK")
    until(lambda: len(rows(engine)) == 21)
    until(lambda: backlog(writer) == Backlog(0, 0, 0, (), None))
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "store: database is locked; calls continue, their rows wait in memory",
        "store: works again",
        "store: 20 calls that had waited are stored",
    ]
    holder.close()


def test_a_stop_waits_for_a_locked_store(
    engine: Engine, start: Start, file: Path, until: Until, request_read: MakeRequest
) -> None:
    """A stop while the store is locked stores what waits as soon as it can, and says that all went well."""
    writer = start()
    holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    writer.put(request_read())
    until(lambda: backlog(writer).outage)
    result: list[bool] = []
    stopping = threading.Thread(target=lambda: result.append(writer.stop()))
    stopping.start()
    until(writer._stopping.is_set)
    assert stopping.is_alive()
    holder.execute("ROLLBACK")
    stopping.join()
    assert result == [True]
    assert len(rows(engine)) == 1
    holder.close()


@pytest.mark.usefixtures("engine")
def test_a_store_that_cannot_be_written_is_an_error(file: Path, locked: Callable[[], None]) -> None:
    """A writer on a store that is locked for too long is refused in one line that names the file."""
    store = open_store(f"sqlite:///{file}")
    with pytest.raises(StoreError) as caught:
        Writer(store)
    assert str(caught.value) == (
        f"cannot write to {file}: database is locked: another process holds it, try again when that has ended"
    )
    locked()
    store.dispose()


def test_an_observer_that_raises_does_no_harm(
    engine: Engine, start: Start, caplog: pytest.LogCaptureFixture, request_read: MakeRequest, ended: MakeEnd
) -> None:
    """A fault in what looks at stored calls is logged; it is told of the next ones, and all are stored."""
    seen: list[int] = []

    def fail(exchange: Exchange) -> None:
        seen.append(exchange.id)
        raise ZeroDivisionError

    writer = start(fail)
    for _ in range(3):
        call = request_read()
        writer.put(call)
        writer.put(ended(call))
    assert writer.stop()
    assert seen == [1, 2, 3] == [call.id for call in rows(engine)]
    assert caplog.messages == [f"store: call {number} could not be logged" for number in (1, 2, 3)]


def test_a_refused_call_does_not_take_the_others(
    engine: Engine,
    start: Start,
    caplog: pytest.LogCaptureFixture,
    request_read: MakeRequest,
    ended: MakeEnd,
    tmp_path: Path,
) -> None:
    """A call that the database refuses is kept in a file, which the log names; the others are stored and told of."""
    seen: list[str] = []
    writer = start(lambda exchange: seen.append(exchange.uuid))
    bad, other = request_read(endpoint=None), request_read()
    for call in (bad, other):
        writer.put(call)
    writer.put(ended(other))
    assert writer.stop()
    assert [call.uuid for call in rows(engine)] == [other.uuid] == seen
    (kept,) = tmp_path.glob("*.kept")
    assert f"store: call {bad.uuid} is kept in {kept}, the database refuses it: IntegrityError" in caplog.messages
    assert {text.row for text in journal_texts(kept)} == {bad.uuid}
    assert run_row(engine)["ended_at"] is not None


def test_a_short_call_is_written_once(
    engine: Engine,
    start: Start,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    request_read: MakeRequest,
    ended: MakeEnd,
) -> None:
    """The row of a call that ends soon is written at its end, and not before; that of another one after a moment."""
    written: list[tuple[str, bool]] = []

    def noted(connection: Connection, units: Sequence[Unit]) -> dict[str, int]:
        written.extend((unit.uuid, unit.is_over) for unit in units)
        return write(connection, units)

    monkeypatch.setattr("moonpalace_addons.store.write.attempts.write", noted)
    monkeypatch.setattr(writer_module, "HOLD_TIME", 1.0)
    writer, short, long = start(), request_read(), request_read()
    writer.put(short)
    writer.put(long)
    until(lambda: backlog(writer).calls == 2)
    writer.put(ended(short))
    until(lambda: len(rows(engine)) == 2)
    assert writer.stop()
    assert written == [(short.uuid, True), (long.uuid, False)]


def test_a_fault_of_ours_does_not_end_the_thread(
    engine: Engine,
    start: Start,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    request_read: MakeRequest,
) -> None:
    """After an exception that nobody foresaw the thread goes on with the next batch; the stop knows what it cost."""
    writer = start()
    with monkeypatch.context() as patch:
        patch.setattr(Batch, "plan", lambda *_, **__: 1 / 0)
        writer.put(request_read())
        until(lambda: "because of a fault in MoonPalace" in caplog.text)
    last = request_read()
    writer.put(last)
    assert not writer.stop()
    assert writer.lost == 1
    assert [call.uuid for call in rows(engine)] == [last.uuid]


def test_calls_are_settled_while_many_wait(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, request_read: MakeRequest, ended: MakeEnd
) -> None:
    """However many tasks wait, a turn looks at some of them only: whoever waits for rows sees that they come."""
    monkeypatch.setattr(writer_module, "PLAN_TIME_LIMIT", 0.01)
    monkeypatch.setattr(writer_module, "PLAN_SLICE", 2)
    left = list[int]()
    writer = Writer(engine, settled=lambda uuids: left.append(len(writer._tasks)))
    for _ in range(300):
        writer.put(call := request_read())
        writer.put(ended(call))
    writer.start()
    assert writer.stop()
    assert left[0] > 0
    assert len(rows(engine)) == 300


def test_the_end_of_many_tasks_is_safe(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_read: MakeRequest, ended: MakeEnd
) -> None:
    """What there is no time left to store when the proxy ends goes into the journal, all of it."""
    monkeypatch.setattr(writer_module, "DRAIN_TIMEOUT", 0.0)
    monkeypatch.setattr(writer_module, "PLAN_TIME_LIMIT", 0.01)
    settled = list[str]()
    writer = Writer(engine, home=tmp_path, settled=settled.extend)
    calls = [request_read() for _ in range(300)]
    for call in calls:
        writer.put(call)
        writer.put(ended(call))
    writer.start()
    assert writer.stop()
    assert set(settled) == {call.uuid for call in calls}


def test_transactions_are_short(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch, request_read: MakeRequest, ended: MakeEnd
) -> None:
    """However much has come, no transaction has more than 200 calls, nor many more bytes than it has time for."""
    sizes = list[int]()
    real = Attempts.store

    def store(self: Attempts, units: Sequence[Unit], *given: Any, **named: Any) -> StoreResult:
        sizes.append(len(units))
        return real(self, units, *given, **named)

    monkeypatch.setattr(Attempts, "store", store)
    monkeypatch.setattr(Pace, "note", lambda *_: None)
    monkeypatch.setattr("moonpalace_addons.store.write.writer.PLAN_TIME_LIMIT", 60.0)  # all at once, however slow
    writer = Writer(engine)
    calls = [request_read() for _ in range(500)] + [request_read(body=bytes(400_000)) for _ in range(6)]
    for call in calls:
        writer.put(call)
        writer.put(ended(call))
    writer.start()
    assert writer.stop()
    assert sizes == [200, 200, 101, 2, 2, 1]
    assert [row.uuid for row in rows(engine)] == [call.uuid for call in calls]


def test_an_answer_under_way_is_on_disk_soon(
    engine: Engine,
    start: Start,
    until: Until,
    request_read: MakeRequest,
    response_started: MakeResponse,
    ended: MakeEnd,
) -> None:
    """What has come of an answer is stored while it goes on, without the hooks saying anything more."""
    writer = start()
    call = request_read()
    answer = response_started(call, [b"one"])
    writer.put(call)
    writer.put(answer)
    until(lambda: rows(engine) and contents.bodies(engine, 1).event_stream == b"one")
    answer.chunks.append((5, b" two"))
    until(lambda: contents.bodies(engine, 1).event_stream == b"one two")
    assert rows(engine)[0].state == State.IN_FLIGHT
    answer.chunks.append((6, b" three"))
    writer.put(ended(call, state=State.CLIENT_DISCONNECTED))
    assert writer.stop()
    assert contents.bodies(engine, 1) == Bodies(call.body, b"one two three", None)
    assert rows(engine)[0].state == State.CLIENT_DISCONNECTED


def test_a_stop_keeps_what_is_under_way(
    engine: Engine, start: Start, request_read: MakeRequest, response_started: MakeResponse
) -> None:
    """Calls that nobody ended are left with all that had come of them, and the next writer finishes them."""
    writer = start()
    call = request_read()
    for task in (call, response_started(call, [b"so far"])):
        writer.put(task)
    assert writer.stop()
    assert [row.state for row in rows(engine)] == [State.IN_FLIGHT]
    start()
    assert [row.state for row in rows(engine)] == [State.PROXY_DIED]
    assert contents.bodies(engine, 1).response == b"so far"


def test_a_second_writer_leaves_the_calls_of_the_first(
    engine: Engine, start: Start, until: Until, request_read: MakeRequest, ended: MakeEnd
) -> None:
    """Two writers in one process share a store; neither takes the other for dead."""
    first = start()
    call = request_read()
    first.put(call)
    until(lambda: rows(engine))
    second = start()
    other = request_read()
    second.put(other)
    until(lambda: len(rows(engine)) == 2)
    assert {row.state for row in rows(engine)} == {State.IN_FLIGHT}
    for writer, mine in ((first, call), (second, other)):
        writer.put(ended(mine))
        assert writer.stop()
    assert [row.state for row in rows(engine)] == [State.COMPLETED] * 2


def test_no_secret_reaches_the_disk(
    file: Path,
    start: Start,
    until: Until,
    engine: Engine,
    request_read: MakeRequest,
    response_started: MakeResponse,
    ended: MakeEnd,
) -> None:
    """A key that is echoed in path, query, headers, bodies, events and errors is in none of the store's files."""
    key = KEY.decode()
    delta = 'data: {"id": "%s", "model": "%s", "choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n'
    writer = start()
    call = request_read(
        path=f"/v1/{key}",
        query=f"key={key}&innocent={key}",
        headers=f"X-Echo: {key}\r\n",
        client_request_id=key,
        body=b'{"model": "%s", "messages": "%s"}' % (KEY, KEY),
        api_key=KEY,
        secrets=(KEY,),
    )
    split = [(delta % (key, key, part)).encode() for part in (key, key[:7], key[7:])]
    answer = response_started(call, [], content_type="text/event-stream", headers=f"Msh-Request-Id: {key}\r\n")
    writer.put(call)
    writer.put(answer)
    for number in range(0, len(split[0]), 5):
        answer.chunks.append((number, split[0][number : number + 5]))
        until(lambda: not answer.chunks)
    answer.chunks.extend((900, part) for part in split[1:])
    writer.put(ended(call, state=State.UPSTREAM_FAILED, error_message=f"refused {key}", warnings=(f"saw {key}",)))
    until(lambda: rows(engine)[0].state == State.UPSTREAM_FAILED)
    files = {path.name: path.read_bytes() for path in file.parent.iterdir()}
    assert file.name + "-wal" in files
    assert [name for name, content in files.items() if KEY in content] == []
    (row,) = rows(engine)
    assert (row.error_message, row.path) == ("refused *******************", "/v1/*******************")
    assert b"*******************" in (contents.bodies(engine, 1).response or b"")
    assert row.key_fingerprint is not None
