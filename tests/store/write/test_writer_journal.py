"""Writing and reading the writer's journal."""

import re
import sqlite3
import threading
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from sqlalchemy import Connection, Engine, event

from moonpalace_addons.store.journal import overflow
from moonpalace_addons.store.journal.journal_file import Journal
from moonpalace_addons.store.journal.unit_bytes import LENGTH, pack
from moonpalace_addons.store.records import contents
from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write import derive, memory
from moonpalace_addons.store.write import writer as writer_module
from moonpalace_addons.store.write.batch import Batch
from moonpalace_addons.store.write.pace import Pace
from moonpalace_addons.store.write.units import Unit
from tests.store.backlog import backlog
from tests.store.write.troubled import Start, Switch, journals, put_calls, rows
from tests.tasks import ended, request_read, response_started
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("quicker")

KEY = b"sk-0123456789abcdef"


def lock(file: Path) -> sqlite3.Connection:
    holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    return holder


def test_a_call_that_is_under_way_while_its_beginning_is_in_the_journal(
    engine: Engine, start: Start, switch: Switch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its end is written to the journal too or directly to the store, it is one complete row."""
    monkeypatch.setattr(writer_module, "SPILL_DELAY", 0.0)  # everything goes to the journal at once
    writer = start()
    switch.fails = "begin"
    calls = [request_read() for _ in range(3)]
    answers = [response_started(call, [b"one"]) for call in calls]
    for call, answer in zip(calls, answers, strict=True):
        writer.put(call)
        writer.put(answer)
    until(lambda: journals(tmp_path) and backlog(writer).calls == 0)
    writer.put(ended(calls[0]))  # into the journal
    until(lambda: backlog(writer).tasks == 0 and backlog(writer).calls == 0)
    switch.fails = None
    writer.put(ended(calls[1]))  # with the journal or after it
    until(lambda: len(rows(engine)) == 3 and not journals(tmp_path))
    answers[2].chunks.append((9, b" two"))
    writer.put(ended(calls[2]))
    assert writer.stop()
    assert [row.uuid for row in rows(engine)] == [call.uuid for call in calls]
    assert {row.state for row in rows(engine)} == {State.COMPLETED}
    for row, call in zip(rows(engine), calls, strict=True):
        whole = b"one two" if call is calls[2] else b"one"
        assert contents.bodies(engine, row.id) == Bodies(call.body, whole, None)


@pytest.mark.parametrize("under_way", [False, True])
def test_a_stop_leaves_what_it_cannot_store_in_the_journal(
    engine: Engine, start: Start, switch: Switch, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, under_way: bool
) -> None:
    """Nothing is lost at a stop: the log names the journal, and the next start stores it, with interrupted calls."""
    writer = start()
    switch.fails = "begin"
    uuids = put_calls(writer, 7)
    if under_way:
        call = request_read()
        uuids.append(call.uuid)
        writer.put(call)
        writer.put(response_started(call, [b"so far"]))
    assert writer.stop()
    (path,) = journals(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"store: calls that could not be stored wait in {path} for the next start" in caplog.messages
    assert rows(engine) == []
    switch.fails = None
    start()
    until(lambda: not journals(tmp_path))
    until(lambda: all(row.state != State.IN_FLIGHT for row in rows(engine)))
    states = Counter(row.state for row in rows(engine))
    assert states == Counter({State.COMPLETED: 7} | ({State.PROXY_DIED: 1} if under_way else {}))
    assert [row.uuid for row in rows(engine)] == uuids
    if under_way:
        assert contents.bodies(engine, rows(engine)[-1].id).response == b"so far"


def test_a_stop_says_what_is_lost(
    start: Start, switch: Switch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If neither the store nor the journal can be written in time, the stop returns False and logs the reason."""
    monkeypatch.setattr(writer_module, "DRAIN_TIMEOUT", 0.05)
    monkeypatch.setattr(overflow.Overflow, "add", lambda *_: [])
    writer = start()
    switch.fails = "begin"
    put_calls(writer, 3)
    assert not writer.stop()
    assert "store: 3 calls could not be stored: database is locked" in caplog.messages
    assert journals(tmp_path) == []


def test_no_secret_reaches_the_journal(start: Start, switch: Switch, tmp_path: Path) -> None:
    """The journal has bodies and columns of ended, running and new calls without the key."""
    writer = start()
    switch.fails = "begin"
    for number in range(3):
        call = request_read(body=b'{"say": "%s"}' % KEY, headers=f"X: {KEY.decode()}\r\n", api_key=KEY, secrets=(KEY,))
        writer.put(call)
        answer = response_started(call, [KEY[:9], KEY[9:]], content_type="text/event-stream")
        if number:
            writer.put(answer)
        if number == 1:
            writer.put(ended(call, error_message=f"no {KEY.decode()}"))
    assert writer.stop()
    (path,) = journals(tmp_path)
    left = Journal.claim(path)
    assert left is not None
    frames = [content or b"" for content, _ in left.frames()]
    found = overflow.next_portion(left, Pace()).units
    left.close()
    assert len(found) == 3
    assert KEY not in b"".join(zstandard.decompress(content) for content in frames)
    assert any(b"*" * len(KEY) in bytes(unit.request_body or b"") for unit in found)


def test_a_slow_store_is_helped_by_the_journal(
    engine: Engine, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is too slow does not fill memory either; a single large call needs no journal."""
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 100_000)
    writer = start()
    uuids = put_calls(writer, 1, 1_000_000)
    until(lambda: len(rows(engine)) == 1)
    assert journals(tmp_path) == []
    added: list[object] = []
    monkeypatch.setattr(Batch, "portion", lambda *_: [])
    monkeypatch.setattr(overflow.Overflow, "add", lambda _, units: added.extend(units))
    uuids += put_calls(writer, 1, 1_000_000)
    until(lambda: backlog(writer).tasks == 0 and backlog(writer).memory > 1_000_000)
    for _ in range(3):  # turns in which it waits
        uuids += put_calls(writer, 1, 1_000)
        until(lambda: backlog(writer).tasks == 0)
    assert added == []
    monkeypatch.undo()
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 100_000)
    used: list[Path] = []

    def feed(_: Connection) -> None:
        if len(uuids) < 500:
            uuids.extend(put_calls(writer, 50, 10_000))
        used.extend(journals(tmp_path))

    event.listen(writer.engine, "commit", feed)
    uuids += put_calls(writer, 1, 10_000)
    until(lambda: len(rows(engine)) == len(uuids) >= 500)
    assert used
    until(lambda: not journals(tmp_path))
    assert {row.uuid for row in rows(engine)} == set(uuids)


def test_a_stop_comes_in_good_time_while_the_store_is_locked(file: Path, start: Start, engine: Engine) -> None:
    """A lock that is released soon after the stop has begun is waited for: then no journal is left."""
    writer = start()
    holder = lock(file)
    put_calls(writer, 3)
    until(lambda: backlog(writer).outage)
    threading.Timer(0.02, lambda: holder.execute("ROLLBACK")).start()
    assert writer.stop()
    until(lambda: not holder.in_transaction)
    holder.close()
    assert len(rows(engine)) + 3 * len(journals(file.parent)) == 3


def poisoned(folder: Path, file: Path, *content: bytes, run_id: str = "old") -> Path:
    """Leave the journal of a dead process next to a store, with a record among calls."""
    path = folder / f"{file.name}.0a6f27a4-1c1c-4b02-9e5c-6a0e7b0c0001.journal"
    journal = Journal.create(path, {"id": run_id, "host": "elsewhere", "pid": 1, "version": "0"})
    columns = derive.EMPTY | {"run_id": run_id, "state": State.COMPLETED, "started_at": 1, "request_bytes": 0}
    columns |= dict.fromkeys(("method", "endpoint", "path", "query", "request_headers"), "")
    units = [
        Unit(uuid, columns | {"uuid": uuid, "is_stream": False, "is_coerced": False}, is_over=True)
        for uuid in ("before", "after")
    ]
    journal.add([pack(units[0]), *content, pack(units[1])])
    journal.close()
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense",
        zstandard.compress(LENGTH.pack(200_000) + b"[" * 200_000),
        b"\x28\xb5\x2f\xfd\xe0" + (64 * 2**30).to_bytes(8, "little") + b"\x01\x00\x00",
        pack(Unit("bad", derive.EMPTY | {"uuid": "bad", "state": "wondering", "run_id": "old"})),
        pack(Unit("bad", derive.EMPTY | {"uuid": "bad", "state": State.COMPLETED, "run_id": "another"})),
    ],
)
def test_a_poisoned_journal_does_not_keep_others_from_being_stored(
    file: Path, engine: Engine, start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """Unreadable parts of a journal, and calls that cannot be stored, are set aside; all other calls are stored."""
    path = poisoned(tmp_path, file, content)
    writer = start()
    uuids = put_calls(writer, 3)
    until(lambda: not path.exists())  # a stop would leave what it has not read for the next start
    assert writer.stop()
    assert {row.uuid for row in rows(engine)} == {"before", "after", *uuids}
    (kept,) = tmp_path.glob("*.kept")
    assert re.fullmatch(
        rf"store: 2 calls stored from the journal {path}; .+; it is kept as {kept}", caplog.messages[-1]
    )
    assert "Traceback" not in caplog.text


def test_what_an_earlier_process_of_the_run_left_is_stored_at_the_end(
    file: Path, engine: Engine, start: Start, tmp_path: Path
) -> None:
    """If the writer died and left a journal, its proxy stores all of its calls before it ends."""
    writer = start()
    path = poisoned(tmp_path, file, run_id=writer._run.id)
    uuids = put_calls(writer, 3)
    assert writer.stop()
    assert {row.uuid for row in rows(engine)} == {"before", "after", *uuids}
    assert not path.exists()
