"""Tests of the writer while its store fails: nothing is lost, memory is limited, all is stored afterwards."""

import json
import logging
import re
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.journal import overflow
from moonpalace_addons.store.records import contents
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write import memory
from moonpalace_addons.store.write import writer as writer_module
from tests.store.backlog import Backlog, backlog
from tests.store.write.troubled import Start, Switch, journals, put_calls, rows
from tests.tasks import ended, request_read, response_started
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("quicker")


def test_memory_has_a_bound(
    engine: Engine,
    start: Start,
    switch: Switch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While the store is in trouble waiting calls go to the journal, and return in order: every call once."""
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 200_000)
    monkeypatch.setattr(overflow, "WRITE_SIZE", 30_000)
    monkeypatch.setattr(writer_module, "RETRY_MAX_DELAY", 0.05)  # each round waits for the next try
    seen: list[str] = []
    writer = start(lambda finished: seen.append(finished.call.uuid))
    switch.fails = "begin"
    uuids: list[str] = []
    for _ in range(40):
        uuids += put_calls(writer, 5, 10_000)
        until(lambda: backlog(writer).tasks == 0)
    until(lambda: journals(tmp_path))
    until(lambda: backlog(writer).memory <= 200_000)
    assert backlog(writer).journals == tuple(journals(tmp_path))
    assert rows(engine) == []
    switch.fails = None
    until(lambda: len(seen) == 200)
    until(lambda: backlog(writer) == Backlog(0, 0, 0, (), None))
    assert [row.uuid for row in rows(engine)] == uuids == seen
    assert {row.state for row in rows(engine)} == {State.COMPLETED}
    assert contents.bodies(engine, rows(engine)[77].id).request == b"x" * 10_000
    assert journals(tmp_path) == []
    warned = [record.getMessage().partition(" /")[0] for record in caplog.records if record.levelno >= logging.WARNING]
    said = [re.sub("[0-9]+ calls stored", "N calls stored", message) for message in warned]
    assert said == [
        "store: database is locked; calls continue, their rows wait in memory",
        "store: rows wait in the journal",
        "store: works again",
        *["store: N calls stored from the journal"] * (len(said) - 4),
        "store: 200 calls that had waited are stored",
    ]
    assert len(said) > 4


def test_a_conversation_waits_in_the_journal(
    engine: Engine, start: Start, switch: Switch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The common parts of a conversation's requests take little memory, but count in full until they are in a file."""
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 200_000)
    writer = start()
    switch.fails = "begin"
    messages = [{"role": "user", "content": f"{number} " + "word " * 400} for number in range(10)]
    for turn in range(20):
        messages.append({"role": "user", "content": f"turn {turn}"})
        call = request_read(body=json.dumps({"messages": messages}).encode())
        writer.put(call)
        writer.put(ended(call))
    until(lambda: journals(tmp_path))
    switch.fails = None
    until(lambda: len(rows(engine)) == 20)


def test_memory_is_given_back_when_all_is_stored(start: Start, switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    """After much has waited and been stored, memory is released: the C library would keep it forever."""
    monkeypatch.setattr(memory, "TRIM_THRESHOLD", 100_000)
    given = list[int]()
    writer = start()
    monkeypatch.setattr(memory, "trim", lambda: given.append(backlog(writer).calls))
    put_calls(writer, 5, 1_000)
    until(lambda: backlog(writer) == Backlog(0, 0, 0, (), None))
    switch.fails = "begin"
    put_calls(writer, 30, 10_000)
    until(lambda: backlog(writer).memory > 100_000)
    assert given == []
    switch.fails = None
    until(lambda: given)
    assert writer.stop()
    assert given == [0]


def test_answers_under_way_count(start: Start, switch: Switch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a running answer count the same as those of an ended one while the store is in trouble."""
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 500_000)
    writer = start()
    switch.fails = "begin"
    call = request_read()
    answer = response_started(call, [])
    writer.put(call)
    writer.put(answer)
    until(lambda: backlog(writer).calls == 1)
    assert journals(tmp_path) == []
    answer.chunks.extend((number, b"x" * 1000) for number in range(600))
    until(lambda: journals(tmp_path))
    until(lambda: not answer.chunks)
    switch.fails = None


def test_a_commit_that_may_have_been_is_not_made_twice(
    engine: Engine, start: Start, switch: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    """If a connection is lost during a successful COMMIT, the calls are stored once, and none is lost."""
    writer = start()
    call, whole = request_read(), request_read()
    answer = response_started(call, [b"data: 1\n\n"], content_type="text/event-stream")
    switch.fails = "commit"
    for task in (call, answer, whole, ended(whole, response=response_started(whole))):
        writer.put(task)
    until(switch.failed.is_set)
    switch.failed.clear()
    until(switch.failed.is_set)
    switch.fails = None
    until(lambda: contents.bodies(engine, rows(engine)[0].id).event_stream)
    switch.fails = "commit"
    answer.chunks.append((5, b"data: 2\n\n"))
    switch.failed.clear()
    until(switch.failed.is_set)
    writer.put(ended(call))
    switch.failed.clear()
    until(switch.failed.is_set)
    switch.fails = None
    assert writer.stop()
    assert [(row.uuid, row.state) for row in rows(engine)] == [
        (call.uuid, State.COMPLETED),
        (whole.uuid, State.COMPLETED),
    ]
    assert contents.bodies(engine, rows(engine)[0].id).event_stream == b"data: 1\n\ndata: 2\n\n"
    assert "lost" not in caplog.text


@pytest.mark.parametrize("how", ["deleted", "replaced", "damaged"])
def test_a_file_that_goes_away(
    file: Path, empty_store: Path, start: Start, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """Calls that end, or continue, after the file was deleted or replaced are in the new one."""
    seen: list[str] = []
    writer = start(lambda finished: seen.append(finished.call.uuid))
    call = request_read()
    answer = response_started(call, [b"data: 1\n\n"], content_type="text/event-stream")
    uuids = put_calls(writer, 2)
    writer.put(call)
    writer.put(answer)
    until(lambda: len(seen) == 2)
    aside = file.with_name("aside.sqlite")
    if how == "damaged":
        file.write_bytes(b"rubbish " * 2000)
        Path(f"{file}-wal").write_bytes(b"")
        uuids = put_calls(writer, 3)
        until(lambda: backlog(writer).outage)
    file.rename(aside)
    if how == "replaced":
        other = file.with_name("other.sqlite")
        other.write_bytes(empty_store.read_bytes())
        other.rename(file)
    uuids = [*(uuids if how == "damaged" else []), *put_calls(writer, 3)]
    until(lambda: set(uuids) <= set(seen))
    answer.chunks.append((5, b"data: 2\n\n"))
    writer.put(ended(call))
    assert writer.stop()
    engine = open_store(f"sqlite:///{file}")
    assert {row.uuid for row in rows(engine)} == {*uuids, call.uuid}
    assert {row.state for row in rows(engine)} == {State.COMPLETED}
    (streamed,) = [row for row in rows(engine) if row.uuid == call.uuid]
    assert contents.bodies(engine, streamed.id).event_stream == b"data: 1\n\ndata: 2\n\n"
    assert f"store: {file} was deleted or replaced; calls are stored in the file that is there now" in caplog.messages
    engine.dispose()


def test_a_table_that_is_missing_is_waited_for(file: Path, engine: Engine, start: Start) -> None:
    """A store that refuses every call is in trouble, whatever the error; no call is dropped."""
    writer = start()
    with sqlite3.connect(file) as other:
        other.execute("ALTER TABLE exchanges RENAME TO away")
    other.close()
    uuids = put_calls(writer, 3)
    until(lambda: backlog(writer).outage == "no such table: exchanges")
    uuids += put_calls(writer, 3)
    with sqlite3.connect(file) as other:
        other.execute("ALTER TABLE away RENAME TO exchanges")
    other.close()
    until(lambda: len(rows(engine)) == 6)
    # One that is tried in the moment in which the table comes back may be stored after the others.
    assert sorted(row.uuid for row in rows(engine)) == sorted(uuids)
