"""Stores that are locked or refuse calls, and exceptions in our code."""

import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.journal.journal_texts import journal_texts
from moonpalace_addons.store.records import contents
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write.batch import Batch
from moonpalace_addons.store.write.units import Finished
from moonpalace_addons.store.write.writer import Writer
from tests.store.backlog import Backlog, backlog
from tests.store.write.troubled import Start, rows, run_row
from tests.tasks import ended, request_read, response_started
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("quick")


KEY = b"sk-0123456789abcdef"


def test_a_locked_store_is_waited_for(
    engine: Engine, start_plain: Start, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While another process locks the store calls continue, with one warning; afterwards all rows are stored."""
    writer = start_plain()
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


def test_a_stop_waits_for_a_locked_store(engine: Engine, start_plain: Start, file: Path) -> None:
    """A stop while the store is locked stores everything as soon as it can, and returns True."""
    writer = start_plain()
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
    """Opening a store that is locked for too long raises a one-line error that names the file."""
    store = open_store(f"sqlite:///{file}")
    with pytest.raises(StoreError) as caught:
        Writer(store)
    assert str(caught.value) == (
        f"cannot write to {file}: database is locked: another process holds it, try again when that has ended"
    )
    locked()
    store.dispose()


def test_an_observer_that_raises_does_no_harm(
    engine: Engine, start_plain: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception in an observer of stored calls is logged; it gets the next ones, and all are stored."""
    seen: list[int] = []

    def fail(finished: Finished) -> None:
        seen.append(finished.call.id)
        raise ZeroDivisionError

    writer = start_plain(fail)
    for _ in range(3):
        call = request_read()
        writer.put(call)
        writer.put(ended(call))
    assert writer.stop()
    assert seen == [1, 2, 3] == [call.id for call in rows(engine)]
    assert caplog.messages == [f"store: call {number} could not be logged" for number in (1, 2, 3)]


def test_a_refused_call_does_not_take_the_others(
    engine: Engine, start_plain: Start, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A call that the database refuses is kept in a file, which the log names; the others are stored and reported."""
    seen: list[str] = []
    writer = start_plain(lambda finished: seen.append(finished.call.uuid))
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


def test_a_fault_of_ours_does_not_end_the_thread(
    engine: Engine, start_plain: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After an unexpected exception the thread continues with the next batch; the stop reports the loss."""
    writer = start_plain()
    with monkeypatch.context() as patch:
        patch.setattr(Batch, "plan", lambda *_, **__: 1 / 0)
        writer.put(request_read())
        until(lambda: "because of a fault in MoonPalace" in caplog.text)
    last = request_read()
    writer.put(last)
    assert not writer.stop()
    assert writer.lost == 1
    assert [call.uuid for call in rows(engine)] == [last.uuid]


def test_a_second_writer_leaves_the_calls_of_the_first(engine: Engine, start_plain: Start) -> None:
    """Two writers in one process share a store; neither considers the other dead."""
    first = start_plain()
    call = request_read()
    first.put(call)
    until(lambda: rows(engine))
    second = start_plain()
    other = request_read()
    second.put(other)
    until(lambda: len(rows(engine)) == 2)
    assert {row.state for row in rows(engine)} == {State.IN_FLIGHT}
    for writer, mine in ((first, call), (second, other)):
        writer.put(ended(mine))
        assert writer.stop()
    assert [row.state for row in rows(engine)] == [State.COMPLETED] * 2


def test_no_secret_reaches_the_disk(file: Path, start_plain: Start, engine: Engine) -> None:
    """A key that is echoed in path, query, headers, bodies, events and errors is in none of the store's files."""
    key = KEY.decode()
    delta = 'data: {"id": "%s", "model": "%s", "choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n'
    writer = start_plain()
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
