"""The client and real processes that write: what they store, and what becomes of calls when one of them dies."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from io import FileIO
from pathlib import Path
from typing import cast

import pytest
from msgspec import structs

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.journal.framing import read_at
from moonpalace_addons.store.records import contents
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import RequestRead, State, Task
from moonpalace_addons.store.write import memory
from moonpalace_addons.store.write.host import new_run
from moonpalace_addons.writer_process import client as client_module
from moonpalace_addons.writer_process import messages, server
from moonpalace_addons.writer_process import process as process_module
from moonpalace_addons.writer_process import spool as spool_module
from moonpalace_addons.writer_process.client import WriterClient
from moonpalace_addons.writer_process.messages import Opening
from moonpalace_addons.writer_process.process import WriterProcess
from tests.waiting import PATIENCE, until
from tests.writer_process.calls import EVENTS, Call

type Rows = Callable[[], list[Exchange]]


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Have a process stand still for the length of a `with` block; it always goes on, unless it was killed."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def begin(client: WriterClient, call: Call) -> None:
    """Have a call's answer begin."""
    client.put(call.request)
    client.put(call.response)


def stream(file: Path, call_id: int) -> tuple[bytes | None, list[tuple[int, int]]]:
    """Return the stream of a stored call, and its chunks."""
    engine = open_store(f"sqlite:///{file}")
    try:
        return contents.bodies(engine, call_id).event_stream, contents.event_times(engine, call_id)
    finally:
        engine.dispose()


def test_a_stream_is_stored(client: WriterClient, file: Path, rows: Rows) -> None:
    """With each chunk and when it came, those of the last moment too."""
    call = Call()
    begin(client, call)
    call.come(*range(10))
    time.sleep(0.2)
    call.come(*range(10, 20))
    client.put(call.ended)
    assert client.stop()
    (row,) = rows()
    assert (row.uuid, row.state) == (call.uuid, State.COMPLETED)
    data, chunks = stream(file, row.id)
    assert data == b"".join(EVENTS)
    assert [at for _, at in chunks] == list(range(2_000, 2_020))


def test_what_it_logs_is_logged_here(client: WriterClient, caplog: pytest.LogCaptureFixture) -> None:
    """A stored call is said by the same logger, with its styles, as it would be in this process."""
    caplog.set_level("INFO", "moonpalace")
    call = Call()
    begin(client, call)
    client.put(call.ended)
    client.stop()
    (record,) = [record for record in caplog.records if record.name == "moonpalace"]
    assert record.getMessage().startswith("POST   /v1/chat/completions 200 OK")
    assert record.__dict__["styles"][0] == "good"


def test_it_leaves_the_processor_to_the_proxy(client: WriterClient) -> None:
    """Where processors are short, a row waits and no token: the process has a lower priority than the proxy."""
    own, other = os.getpriority(os.PRIO_PROCESS, 0), os.getpriority(os.PRIO_PROCESS, client.pid)
    assert other == min(19, own + server.NICE_INCREMENT)


def test_a_terminal_that_is_stopped(client: WriterClient, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever does not read the log keeps no call from being stored, nor from being known to be, at the end too."""
    monkeypatch.setattr(process_module, "LOG_TIMEOUT", 0.1)
    monkeypatch.setattr(client_module, "STOP_TIMEOUT", 10.0)
    resumed, logger = threading.Event(), logging.getLogger("moonpalace")
    stopped = logging.Handler()
    monkeypatch.setattr(stopped, "emit", lambda _: resumed.wait(PATIENCE))
    monkeypatch.setattr(logger, "level", logging.INFO)
    logger.addHandler(stopped)
    try:
        for _ in range(3):
            call = Call()
            begin(client, call)
            client.put(call.ended)
            until(lambda: client.backlog == (0, 0) and len(rows()))
        assert client.stop()
    finally:
        resumed.set()
        logger.removeHandler(stopped)
    assert [row.state for row in rows()] == [State.COMPLETED] * 3


def test_a_store_that_is_none(tmp_path: Path) -> None:
    """What keeps a store from being opened is one line, and no process stays."""
    file = tmp_path / "calls.sqlite"
    file.write_text("this is no database, whatever its name says, and never was")
    with pytest.raises(StoreError, match=r"calls\.sqlite"):
        WriterClient(Opening(f"sqlite:///{file}", tmp_path, {}, None, None))


def test_a_process_that_does_not_start(opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a process that ends before it has said anything."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StoreError, match=r"does not start \(exit code 1\)"):
        WriterClient(opening)


def test_signals_are_for_the_proxy(client: WriterClient, rows: Rows) -> None:
    """What a service manager or a terminal sends to all processes does not keep calls from being stored."""
    call = Call()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(client.pid, number)
    begin(client, call)
    client.put(call.ended)
    assert client.stop()
    assert [row.uuid for row in rows()] == [call.uuid]
    assert os.getpgid(0) != client.pid


def test_its_command_shows_nothing(client: WriterClient) -> None:
    """The list of processes says neither where the store is nor how it is reached."""
    command = Path(f"/proc/{client.pid}/cmdline").read_text(encoding="utf-8")
    assert "moonpalace_addons.writer_process" in command
    assert "sqlite" not in command


@pytest.mark.parametrize("moment", ["under way", "over", "stored"])
def test_it_is_killed(
    client: WriterClient, file: Path, rows: Rows, moment: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a call had come to, its row is there once and whole, by the hand of the next process."""
    call, other, pid = Call(), Call("/v1/other"), client.pid
    begin(client, call)
    call.come(*range(10))
    time.sleep(0.7)
    call.come(*range(10, 15))
    if moment != "under way":
        client.put(call.ended)
    if moment == "stored":
        until(lambda: any(row.state is State.COMPLETED for row in rows()))
    os.kill(pid, signal.SIGKILL)
    if moment == "under way":
        until(lambda: client.pid != pid)
        call.come(*range(15, 20))
        client.put(call.ended)
    client.put(other.request)
    client.put(other.ended)
    assert client.stop()
    first, second = rows()
    assert [first.uuid, second.uuid] == [call.uuid, other.uuid]
    assert {first.state, second.state} == {State.COMPLETED}
    assert stream(file, first.id)[0] == b"".join(EVENTS if moment == "under way" else EVENTS[:15])
    (error,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert error.getMessage().startswith("store: the process that writes to it has ended (exit code -9)")


def test_it_is_killed_at_the_end(client: WriterClient, rows: Rows) -> None:
    """A process that dies while it stores the last calls is followed by one that does."""
    calls = [Call() for _ in range(300)]
    for call in calls:
        begin(client, call)
        call.come(*range(20))
        client.put(call.ended)
    with standing_still(client.pid):
        os.kill(client.pid, signal.SIGKILL)
    assert client.stop()
    assert {row.uuid for row in rows()} == {call.uuid for call in calls}
    assert len(rows()) == len(calls)


def point(link: Path, folder: Path) -> None:
    """Make a link point to a folder, in one step."""
    link.with_suffix(".new").symlink_to(folder)
    link.with_suffix(".new").replace(link)


def test_it_cannot_start_again_at_once(
    file: Path, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls wait until the store can be opened again."""
    monkeypatch.setattr(client_module, "RESTART_MIN_DELAY", 0.01)
    link = tmp_path / "folder"
    point(link, tmp_path)
    client = WriterClient(Opening(f"sqlite:///{link / file.name}", tmp_path, new_run(), None, None))
    point(link, Path("/dev/null"))
    os.kill(client.pid, signal.SIGKILL)
    call = Call()
    begin(client, call)
    client.put(call.ended)
    until(lambda: "calls continue, their rows wait" in caplog.text)
    point(link, tmp_path)
    until(lambda: [row.uuid for row in rows()] == [call.uuid])
    assert client.stop()


def test_an_end_that_takes_long(
    opening: Opening, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The end waits as long as calls are being settled, and says meanwhile how many are left."""
    monkeypatch.setattr(client_module, "STOP_TIMEOUT", 5.0)
    monkeypatch.setattr(client_module, "NOTICE_INTERVAL", 0.1)
    client = WriterClient(opening)
    for _ in range(3_000):
        begin(client, call := Call())
        call.come(*range(20))
        client.put(call.ended)
    assert client.stop()
    assert "calls are still to be stored" in caplog.text
    assert len(rows()) == 1_000  # the newest that are asked for


def test_it_hangs(opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is stopped holds up no call, and the end for its time only; woken, it stores what it was told."""
    monkeypatch.setattr(client_module, "STOP_TIMEOUT", 0.3)
    client = WriterClient(opening)
    pid = client.pid
    with standing_still(pid):
        began = time.monotonic()
        for _ in range(1000):
            client.put(Call().request)
        assert time.monotonic() - began < 1
        assert not client.stop()
        os.kill(pid, signal.SIGKILL)
    client._thread.join(PATIENCE)  # it has another process store what this one was told
    client._process._process.wait(PATIENCE)


def test_it_does_not_read(opening: Opening, rows: Rows) -> None:
    """While the process does not read, what comes is on the disk and not in memory; all of it is stored afterwards."""
    client = WriterClient(opening)
    calls = [Call() for _ in range(30)]
    with standing_still(client.pid):
        for call in calls:
            begin(client, call)
            for _ in range(100):
                call.response.chunks.append((1, b"x" * 10_000))
            client.put(call.ended)
        until(lambda: not client._tasks and not any(call.response.chunks for call in calls))
        _, spooled = client.backlog
        in_memory = sum(len(call.data) for call in client._unsettled._calls.values())
        assert spooled > 0
        assert in_memory < 10_000_000
    assert client.stop()
    stored = rows()
    assert [row.uuid for row in stored] == [call.uuid for call in calls]


def test_a_fault_of_ours(
    client: WriterClient, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be packed is lost to its answer, with one error in the log, but never to a row."""
    packed, raised = messages.packed, list[bool]()

    def failing(waiting: object, limit: int) -> object:
        if not raised:
            raised.append(True)
            raise RuntimeError("injected")
        return packed(waiting, limit)  # type: ignore[arg-type]

    monkeypatch.setattr(client_module, "packed", failing)
    calls = [Call(), Call()]
    for call in calls:
        begin(client, call)
        call.come(0)
        client.put(call.ended)
        until(lambda: raised)
    assert client.stop()
    assert [row.uuid for row in rows()] == [call.uuid for call in calls]
    (error,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert error.getMessage() == "store: something of answers is lost because of a fault in MoonPalace"


def test_reports_that_are_not_understood(
    client: WriterClient, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours in taking what it says costs that report, and not what comes after it; the stop says no more."""
    settled: list[object] = []

    def failing(uuids: object) -> None:
        settled.append(uuids)
        raise RuntimeError("injected")

    monkeypatch.setattr(client._process, "_settle", failing)
    first, second = Call(), Call()
    begin(client, first)
    client.put(first.ended)
    until(lambda: settled)
    begin(client, second)
    client.put(second.ended)
    assert not client.stop()
    assert "store: 2 calls are lost, or not known to be stored" in caplog.messages
    assert len(rows()) == len(settled) == 2


@pytest.mark.parametrize("at_the_end", [False, True])
def test_it_is_killed_while_the_store_is_away(
    client: WriterClient, file: Path, rows: Rows, caplog: pytest.LogCaptureFixture, *, at_the_end: bool
) -> None:
    """The next process waits for the store; if that stays away, the calls are in the journal, and none is lost."""
    calls = [Call() for _ in range(20)]
    file.rename(file.with_suffix(".away"))
    file.mkdir()
    for call in calls:
        begin(client, call)
        call.come(*range(10))
        client.put(call.ended)
    pid = client.pid
    os.kill(pid, signal.SIGKILL)
    if not at_the_end:
        until(lambda: "calls continue, their rows wait" in caplog.text)
    assert client.stop()
    assert "because of a fault in MoonPalace" not in caplog.text
    (journal,) = file.parent.glob("*.journal")
    assert f"wait in {journal} for the next start" in caplog.text
    file.rmdir()
    file.with_suffix(".away").rename(file)
    again = WriterClient(replace(client.opening, key=None, run=new_run()))
    until(lambda: not journal.exists())
    assert again.stop()
    assert {row.uuid for row in rows()} == {call.uuid for call in calls}


def test_no_process_starts_again(
    client: WriterClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it has died and no other starts, the end does not wait for what never comes, and says what is lost."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    os.kill(client.pid, signal.SIGKILL)
    for _ in range(3):
        client.put(Call().request)
    began = time.monotonic()
    assert not client.stop()
    assert time.monotonic() - began < client_module.STOP_TIMEOUT / 2
    assert caplog.messages[-1] == "store: 3 calls are lost, or not known to be stored"
    assert "because of a fault in MoonPalace" not in caplog.text


def test_it_is_killed_while_it_is_told_again(
    client: WriterClient, rows: Rows, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each death is the same line in the log, and it is said when all is stored."""
    real, raised = WriterProcess.write, list[bool]()

    def write(self: WriterProcess, message: object) -> None:
        if isinstance(message, list) and self is not first and not raised:
            raised.append(True)
            os.kill(self.pid, signal.SIGKILL)
            raise BrokenPipeError(32, "Broken pipe")
        real(self, message)

    first = client._process
    monkeypatch.setattr(WriterProcess, "write", write)
    with standing_still(client.pid):  # nothing of it is stored, and nothing settled
        calls = [Call() for _ in range(5)]
        for call in calls:
            begin(client, call)
            client.put(call.ended)
        until(lambda: len(client._unsettled) == 5)
        os.kill(client.pid, signal.SIGKILL)
    until(lambda: "store: 5 calls that had waited are stored, or in a journal" in caplog.messages)
    ended = "store: the process that writes to it has ended (exit code -9); it is started again"
    assert caplog.messages.count(ended) == 2
    assert not any("wait in memory" in message for message in caplog.messages)
    assert {row.uuid for row in rows()} == {call.uuid for call in calls}


PROXY = """
import os, signal, sys, time
from pathlib import Path
from moonpalace_addons.store.write.host import new_run
from moonpalace_addons.store.journal.framing import read_at
from moonpalace_addons.writer_process.client import WriterClient
from moonpalace_addons.writer_process.messages import Opening
from moonpalace_addons.writer_process.process import WriterProcess
from tests.writer_process.calls import Call

client = WriterClient(Opening(f"sqlite:///{sys.argv[1]}", Path(sys.argv[1]).parent, new_run(), None, None))
over, under_way = Call("/v1/over"), Call("/v1/under/way")
for call in (under_way, over):
    client.put(call.request)
    client.put(call.response)
    call.come(*range(15))
client.put(over.ended)
print(client.pid, flush=True)
time.sleep(0.1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_proxy_is_killed(file: Path, rows: Rows) -> None:
    """The process that writes stores all that the proxy had sent, ends the calls under way, and ends itself."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    proxy = subprocess.run([sys.executable, "-c", PROXY, file], env=environment, capture_output=True, check=False)
    assert proxy.returncode == -signal.SIGKILL, proxy.stderr
    pid = int(proxy.stdout)
    until(lambda: not Path(f"/proc/{pid}").exists())
    under_way, over = sorted(rows(), key=lambda row: row.state == State.COMPLETED)
    assert (under_way.state, over.state) == (State.PROXY_DIED, State.COMPLETED)
    assert under_way.latency == 2_014
    for row in (under_way, over):
        assert stream(file, row.id)[0] == b"".join(EVENTS[:15])


def large(size: int) -> Call:
    """Return a call with a body of so many bytes."""
    call = Call()
    call.request = structs.replace(call.request, body=call.request.body + b" " * size)
    return call


def is_other(client: WriterClient, backlog: tuple[int, int]) -> bool:
    """Tell whether a client has looked at what it was told since it had a backlog."""
    return client.backlog != backlog


@pytest.mark.parametrize("fate", ["goes on", "dies"])
def test_more_than_it_can_take(
    client: WriterClient, rows: Rows, fate: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the process stands still, calls of a bounded size wait in memory, the others on the disk; all are stored.

    Afterwards the memory is given back, once.
    """
    monkeypatch.setattr(client_module, "WINDOW_SIZE", 400_000)
    monkeypatch.setattr(memory, "TRIM_THRESHOLD", 100_000)
    given = list[int]()
    monkeypatch.setattr(memory, "trim", lambda: given.append(1))
    calls = [large(50_000) for _ in range(60)]
    with standing_still(client.pid):
        for call in calls:
            before = client.backlog
            client.put(call.request)
            client.put(call.ended)
            until(partial(is_other, client, before))
        in_memory, on_disk = client.backlog
        assert 400_000 < in_memory < 500_000
        assert on_disk > 45
        if fate != "goes on":
            os.kill(client.pid, signal.SIGKILL)
    until(lambda: given)
    assert client.stop()
    assert [row.uuid for row in rows()] == [call.uuid for call in calls]
    assert (client.backlog, given) == ((0, 0), [1])
    assert "lost" not in caplog.text


def test_much_at_once(client: WriterClient, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many calls that come at once, those that do not fit wait whole on the disk: no requests without their ends."""
    monkeypatch.setattr(client_module, "WINDOW_SIZE", 400_000)
    monkeypatch.setattr(client_module, "PORTION_SIZE", 100_000)
    calls = [large(50_000) for _ in range(60)]
    told = list[int]()
    write = WriterProcess.write

    def counted(process: WriterProcess, message: object) -> None:
        told.append(sum(len(task.body) for task in cast(list[Task], message) if isinstance(task, RequestRead)))
        write(process, message)

    monkeypatch.setattr(WriterProcess, "write", counted)
    with standing_still(client.pid):
        for call in calls:
            client.put(call.request)
            client.put(call.ended)
        until(lambda: client.backlog[1] > 20)
        assert 400_000 <= sum(told) <= 600_000
        monkeypatch.setattr(WriterProcess, "write", write)
    assert client.stop()
    assert [row.uuid for row in rows()] == [call.uuid for call in calls]


def test_much_while_it_is_started_again(
    client: WriterClient, file: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls that come while no process can be started fill the memory up to the bound only, and all are stored."""
    monkeypatch.setattr(client_module, "WINDOW_SIZE", 400_000)
    hidden = file.rename(file.with_suffix(".away"))
    file.mkdir()
    monkeypatch.setattr(client, "opening", replace(client.opening, key=None))  # so that no store is no process
    os.kill(client.pid, signal.SIGKILL)
    until(lambda: "calls continue, their rows wait" in caplog.text)
    calls = [large(50_000) for _ in range(60)]
    for call in calls:
        before = client.backlog
        client.put(call.request)
        client.put(call.ended)
        until(partial(is_other, client, before))
    in_memory, on_disk = client.backlog
    assert 400_000 < in_memory < 500_000
    assert on_disk > 45
    assert not client._tasks
    file.rmdir()
    hidden.rename(file)
    until(lambda: client.backlog == (0, 0))
    assert client.stop()
    assert [row.uuid for row in rows()] == [call.uuid for call in calls]


def test_what_the_disk_damages_is_counted(
    client: WriterClient, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that cannot be read any more costs the calls in it; log and stop say so, and the log how many."""
    monkeypatch.setattr(client_module, "WINDOW_SIZE", 1)
    with standing_still(client.pid):
        first, *others = (Call() for _ in range(3))
        for call in (first, *others):
            before = client.backlog
            client.put(call.request)
            client.put(call.ended)
            until(partial(is_other, client, before))
        assert client.backlog[1] == 2
        damaged = list[bool]()

        def once(opened: FileIO, offset: int, length: int) -> bytes:
            if damaged:
                return read_at(opened, offset, length)
            damaged.append(True)
            return bytes(length)

        monkeypatch.setattr(spool_module, "read_at", once)
    assert not client.stop()
    said = "store: what waited on the disk cannot be read (its bytes have changed): 1 calls are lost, or not whole"
    assert said in caplog.messages
    assert [row.uuid for row in rows()] == [first.uuid, others[1].uuid]


def test_what_waits_on_the_disk_at_the_end(
    client: WriterClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If no process can be started any more, those that wait on the disk count among the lost too."""
    monkeypatch.setattr(client_module, "WINDOW_SIZE", 1)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    os.kill(client.pid, signal.SIGKILL)
    for call in [Call() for _ in range(4)]:
        before = client.backlog
        client.put(call.request)
        client.put(call.ended)
        until(partial(is_other, client, before))
    assert client.backlog[1] == 3
    assert not client.stop()
    assert caplog.messages[-1] == "store: 4 calls are lost, or not known to be stored"
