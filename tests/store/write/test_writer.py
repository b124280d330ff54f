"""Tests of the writer, with its thread and real files."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from moonpalace_addons.store.records import contents
from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write import writer as writer_module
from moonpalace_addons.store.write.attempts import Attempts, StoreResult
from moonpalace_addons.store.write.pace import Pace
from moonpalace_addons.store.write.units import Finished, Unit, write
from moonpalace_addons.store.write.writer import Writer
from tests.store.backlog import backlog
from tests.store.write.troubled import Start, rows, run_row
from tests.tasks import ended, request_read, response_started
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("quick")


def test_no_call_is_missing_after_a_stop(engine: Engine, start_plain: Start) -> None:
    """Calls that are put just before the stop, from several threads, are all stored, once and complete."""
    seen: list[Finished] = []
    writer = start_plain(seen.append)

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
    assert sorted((each.call for each in seen), key=lambda call: call.id) == stored
    assert None not in (contents.bodies(engine, 500).request, contents.bodies(engine, 500).response)


def test_the_end_of_a_run_is_written_down(engine: Engine, start_plain: Start) -> None:
    """A run has its host and process from the beginning, and its end after a stop; a second stop changes nothing."""
    writer = start_plain()
    before = run_row(engine)
    assert (before["id"], before["pid"], before["ended_at"]) == (writer._run.id, os.getpid(), None)
    assert writer.stop()
    after = run_row(engine)
    assert after["ended_at"] == after["heartbeat_at"]
    assert int(str(after["ended_at"])) >= int(str(after["started_at"]))
    assert writer.stop()
    assert run_row(engine) == after


def test_a_heartbeat_is_written(engine: Engine, start_plain: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy without calls still records heartbeats."""
    monkeypatch.setattr(writer_module, "HEARTBEAT_INTERVAL", 0.01)
    start_plain()
    first = run_row(engine)["heartbeat_at"]
    until(lambda: run_row(engine)["heartbeat_at"] != first)


def test_a_short_call_is_written_once(engine: Engine, start_plain: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of a call that ends soon is written only at its end; that of another one after a delay."""
    written: list[tuple[str, bool]] = []

    def noted(connection: Connection, units: Sequence[Unit]) -> dict[str, int]:
        written.extend((unit.uuid, unit.is_over) for unit in units)
        return write(connection, units)

    monkeypatch.setattr("moonpalace_addons.store.write.attempts.write", noted)
    monkeypatch.setattr(writer_module, "HOLD_TIME", 1.0)
    writer, short, long = start_plain(), request_read(), request_read()
    writer.put(short)
    writer.put(long)
    until(lambda: backlog(writer).calls == 2)
    writer.put(ended(short))
    until(lambda: len(rows(engine)) == 2)
    assert writer.stop()
    assert written == [(short.uuid, True), (long.uuid, False)]


def test_calls_are_settled_while_many_wait(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn takes only some of the waiting tasks, so that rows are reported as stored meanwhile."""
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


def test_the_end_of_many_tasks_is_safe(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be stored in time when the proxy ends is completely in the journal."""
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


def test_transactions_are_short(engine: Engine, start_plain: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction has at most 200 calls, and only as many bytes as fit its time."""
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


def test_an_answer_under_way_is_on_disk_soon(engine: Engine, start_plain: Start) -> None:
    """A partial answer is stored while it continues, without further messages from the hooks."""
    writer = start_plain()
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


def test_a_stop_keeps_what_is_under_way(engine: Engine, start_plain: Start) -> None:
    """Calls that have not ended are left with all received data, and the next writer finishes them."""
    writer = start_plain()
    call = request_read()
    for task in (call, response_started(call, [b"so far"])):
        writer.put(task)
    assert writer.stop()
    assert [row.state for row in rows(engine)] == [State.IN_FLIGHT]
    start_plain()
    assert [row.state for row in rows(engine)] == [State.PROXY_DIED]
    assert contents.bodies(engine, 1).response == b"so far"
