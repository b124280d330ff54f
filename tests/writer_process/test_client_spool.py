"""Calls that the writer process cannot take yet wait on disk."""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from io import FileIO
from pathlib import Path

import pytest
from msgspec import structs

from moonpalace_addons.store.journal.framing import read_at
from moonpalace_addons.store.tasks import RequestRead, Task
from moonpalace_addons.store.write import memory
from moonpalace_addons.writer_process import client as client_module
from moonpalace_addons.writer_process import spool as spool_module
from moonpalace_addons.writer_process.client import WriterClient
from moonpalace_addons.writer_process.process import WriterProcess
from tests.waiting import until
from tests.writer_process.calls import Call
from tests.writer_process.stored import Rows, backlog, pid_of, standing_still


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all messages that do not fit into the window wait on disk."""
    monkeypatch.setattr(spool_module, "MAX_MEMORY_SIZE", 0)


def large(size: int) -> Call:
    """Return a call with a body of this many bytes."""
    call = Call()
    call.request = structs.replace(call.request, body=call.request.body + b" " * size)
    return call


def is_other(client: WriterClient, before: tuple[int, int]) -> bool:
    """Return whether a client has processed messages since it had a backlog."""
    return backlog(client) != before


@pytest.mark.parametrize("fate", ["goes on", "dies"])
def test_more_than_it_can_take(
    client: WriterClient, rows: Rows, fate: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the process is paused, calls wait in memory up to a limit, the others on disk; all are stored.

    Afterwards the memory is released, once.
    """
    monkeypatch.setattr(client_module, "WINDOW_SIZE", 400_000)
    monkeypatch.setattr(memory, "TRIM_THRESHOLD", 100_000)
    given = list[int]()
    monkeypatch.setattr(memory, "trim", lambda: given.append(1))
    calls = [large(50_000) for _ in range(60)]
    with standing_still(pid_of(client)):
        for call in calls:
            before = backlog(client)
            client.put(call.request)
            client.put(call.ended)
            until(partial(is_other, client, before))
        in_memory, on_disk = backlog(client)
        assert 400_000 < in_memory < 500_000
        assert on_disk > 45
        if fate != "goes on":
            os.kill(pid_of(client), signal.SIGKILL)
    until(lambda: given)
    assert client.stop()
    assert [row.uuid for row in rows()] == [call.uuid for call in calls]
    assert (backlog(client), given) == ((0, 0), [1])
    assert "lost" not in caplog.text


def test_much_at_once(client: WriterClient, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many simultaneous calls, those that do not fit wait on disk as a whole: no requests without their ends."""
    monkeypatch.setattr(client_module, "WINDOW_SIZE", 400_000)
    monkeypatch.setattr(client_module, "PORTION_SIZE", 100_000)
    calls = [large(50_000) for _ in range(60)]
    sizes = list[int]()
    send = WriterProcess.send

    def counted(process: WriterProcess, batch: Sequence[Task]) -> None:
        sizes.append(sum(len(task.body) for task in batch if isinstance(task, RequestRead)))
        send(process, batch)

    monkeypatch.setattr(WriterProcess, "send", counted)
    with standing_still(pid_of(client)):
        for call in calls:
            client.put(call.request)
            client.put(call.ended)
        until(lambda: backlog(client)[1] > 20)
        assert 400_000 <= sum(sizes) <= 600_000
        monkeypatch.setattr(WriterProcess, "send", send)
    assert client.stop()
    assert [row.uuid for row in rows()] == [call.uuid for call in calls]


def test_much_while_it_is_started_again(
    client: WriterClient, file: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While no process can be started, new calls fill the memory only up to the limit, and all are stored."""
    monkeypatch.setattr(client_module, "WINDOW_SIZE", 400_000)
    hidden = file.rename(file.with_suffix(".away"))
    file.mkdir()
    monkeypatch.setattr(client, "opening", replace(client.opening, key=None))  # so that no store is no process
    os.kill(pid_of(client), signal.SIGKILL)
    until(lambda: "calls continue, their rows wait" in caplog.text)
    calls = [large(50_000) for _ in range(60)]
    for call in calls:
        before = backlog(client)
        client.put(call.request)
        client.put(call.ended)
        until(partial(is_other, client, before))
    in_memory, on_disk = backlog(client)
    assert 400_000 < in_memory < 500_000
    assert on_disk > 45
    assert not client._tasks
    file.rmdir()
    hidden.rename(file)
    until(lambda: backlog(client) == (0, 0))
    assert client.stop()
    assert [row.uuid for row in rows()] == [call.uuid for call in calls]


def test_a_fault_while_the_pipe_is_full_cuts_no_message(
    client: WriterClient, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception in the middle of a message costs the calls concerned, but neither the message nor the process."""
    put, broken = spool_module.Spool.put, list[Sequence[Task]]()
    sent, hit, later = large(3_000_000), Call(), Call()

    def fail_once(spool: spool_module.Spool, message: list[Task]) -> None:
        if hit.request in message:
            broken.append(message)
            raise RuntimeError("a fault")
        put(spool, message)

    monkeypatch.setattr(spool_module.Spool, "put", fail_once)
    with standing_still(pid_of(client)):
        for call in (sent, hit, later):
            client._tasks.extend([call.request, call.ended])  # in one step: both are in one message
            client._wake.set()
            until(lambda: not client._tasks)
        assert broken == [[hit.request, hit.ended]]
    assert not client.stop()  # it does not claim that all is stored
    assert [row.uuid for row in rows()] == [sent.uuid, later.uuid]
    assert "because of a fault in MoonPalace" in caplog.text
    assert "restarting it" not in caplog.text


def test_what_the_disk_damages_is_counted(
    client: WriterClient, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that can no longer be read costs its calls; the log has their number, and the stop reports them."""
    monkeypatch.setattr(client_module, "WINDOW_SIZE", 1)
    with standing_still(pid_of(client)):
        first, *others = (Call() for _ in range(3))
        for call in (first, *others):
            before = backlog(client)
            client.put(call.request)
            client.put(call.ended)
            until(partial(is_other, client, before))
        assert backlog(client)[1] == 2
        damaged = list[bool]()

        def once(opened: FileIO, offset: int, length: int) -> bytes:
            if damaged:
                return read_at(opened, offset, length)
            damaged.append(True)
            return bytes(length)

        monkeypatch.setattr(spool_module, "read_at", once)
    assert not client.stop()
    said = "tasks that waited on the disk cannot be read (its bytes have changed): 1 calls are lost or incomplete"
    assert f"store: {said}" in caplog.messages
    assert [row.uuid for row in rows()] == [first.uuid, others[1].uuid]


def test_what_waits_on_the_disk_at_the_end(
    client: WriterClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If no process can be started any more, calls on disk are counted as lost too."""
    monkeypatch.setattr(client_module, "WINDOW_SIZE", 1)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    os.kill(pid_of(client), signal.SIGKILL)
    for call in [Call() for _ in range(4)]:
        before = backlog(client)
        client.put(call.request)
        client.put(call.ended)
        until(partial(is_other, client, before))
    assert backlog(client)[1] == 3
    assert not client.stop()
    assert caplog.messages[-1] == "store: 4 calls are lost, or not known to be stored"
