"""Writer processes that are killed, hang or cannot be restarted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from moonpalace_addons.settings.values import Settings
from moonpalace_addons.store.tasks import State, Task
from moonpalace_addons.store.write.host import new_run
from moonpalace_addons.writer_process import client as client_module
from moonpalace_addons.writer_process.client import WriterClient
from moonpalace_addons.writer_process.messages import Opening
from moonpalace_addons.writer_process.process import WriterProcess
from tests.waiting import PATIENCE, until
from tests.writer_process.calls import EVENTS, Call
from tests.writer_process.stored import Rows, backlog, begin, pid_of, standing_still, stream


@pytest.mark.parametrize("moment", ["under way", "over", "stored"])
def test_it_is_killed(
    client: WriterClient, file: Path, rows: Rows, moment: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the state of a call was, the next process stores its row once and complete."""
    call, other, pid = Call(), Call("/v1/other"), pid_of(client)
    begin(client, call)
    call.come(*range(10))
    until(lambda: [stream(file, row.id)[0] for row in rows()] == [b"".join(EVENTS[:10])])
    call.come(*range(10, 15))
    if moment != "under way":
        client.put(call.ended)
    if moment == "stored":
        until(lambda: any(row.state is State.COMPLETED for row in rows()))
    os.kill(pid, signal.SIGKILL)
    if moment == "under way":
        until(lambda: pid_of(client) != pid)
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
    """If a process dies while it stores the last calls, the next one stores them."""
    calls = [Call() for _ in range(300)]
    for call in calls:
        begin(client, call)
        call.come(*range(20))
        client.put(call.ended)
    with standing_still(pid_of(client)):
        os.kill(pid_of(client), signal.SIGKILL)
    assert client.stop()
    assert {row.uuid for row in rows()} == {call.uuid for call in calls}
    assert len(rows()) == len(calls)


def point(link: Path, folder: Path) -> None:
    """Make a link point to a folder atomically."""
    link.with_suffix(".new").symlink_to(folder)
    link.with_suffix(".new").replace(link)


def test_it_cannot_start_again_at_once(
    file: Path, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls wait until the store can be opened again."""
    monkeypatch.setattr(client_module, "RESTART_MIN_DELAY", 0.01)
    link = tmp_path / "folder"
    point(link, tmp_path)
    client = WriterClient(Opening(Settings(database=f"sqlite:///{link / file.name}", home=tmp_path), new_run()))
    point(link, Path("/dev/null"))
    os.kill(pid_of(client), signal.SIGKILL)
    call = Call()
    begin(client, call)
    client.put(call.ended)
    until(lambda: "calls continue, their rows wait" in caplog.text)
    point(link, tmp_path)
    until(lambda: [row.uuid for row in rows()] == [call.uuid])
    assert client.stop()


def test_it_hangs(opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process delays no call, and the stop only up to its limit; resumed, it stores what it received."""
    monkeypatch.setattr(client_module, "STOP_TIMEOUT", 0.3)
    client = WriterClient(opening)
    pid = pid_of(client)
    with standing_still(pid):
        began = time.monotonic()
        for _ in range(1000):
            client.put(Call().request)
        assert time.monotonic() - began < 1
        assert not client.stop()
        os.kill(pid, signal.SIGKILL)
    client._thread.join(PATIENCE)  # it has another process store the tasks of this one
    client._process._process.wait(PATIENCE)


def test_it_does_not_read(opening: Opening, rows: Rows) -> None:
    """While the process does not read, new data is on disk and not in memory; all of it is stored afterwards."""
    client = WriterClient(opening)
    calls = [Call() for _ in range(30)]
    with standing_still(pid_of(client)):
        for call in calls:
            begin(client, call)
            for _ in range(100):
                call.response.chunks.append((1, b"x" * 10_000))
            client.put(call.ended)
        until(lambda: not client._tasks and not any(call.response.chunks for call in calls))
        _, spooled = backlog(client)
        in_memory = sum(len(call.data) for call in client._unconfirmed._calls.values())
        assert spooled > 0
        assert in_memory < 10_000_000
    assert client.stop()
    assert sorted(row.uuid for row in rows()) == sorted(call.uuid for call in calls)  # a slow store may get some later


@pytest.mark.parametrize("at_the_end", [False, True])
def test_it_is_killed_while_the_store_is_away(
    client: WriterClient, file: Path, rows: Rows, caplog: pytest.LogCaptureFixture, *, at_the_end: bool
) -> None:
    """The next process waits for the store; if it stays unavailable, all calls are in the journal."""
    calls = [Call() for _ in range(20)]
    file.rename(file.with_suffix(".away"))
    file.mkdir()
    for call in calls:
        begin(client, call)
        call.come(*range(10))
        client.put(call.ended)
    pid = pid_of(client)
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
    """If it has died and none can be started, the stop does not wait for it, and logs what is lost."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    os.kill(pid_of(client), signal.SIGKILL)
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
    """Each death is logged with the same line, and the end of the backlog when all is stored."""
    real, raised = WriterProcess.resend, list[bool]()

    def resend(self: WriterProcess, batch: Sequence[Task]) -> None:
        if not raised:
            raised.append(True)
            os.kill(self._process.pid, signal.SIGKILL)
            raise BrokenPipeError(32, "Broken pipe")
        real(self, batch)

    monkeypatch.setattr(WriterProcess, "resend", resend)
    with standing_still(pid_of(client)):  # nothing of it is stored, and nothing confirmed
        calls = [Call() for _ in range(5)]
        for call in calls:
            begin(client, call)
            client.put(call.ended)
        until(lambda: len(client._unconfirmed) == 5)
        os.kill(pid_of(client), signal.SIGKILL)
    until(lambda: "store: 5 calls that had waited are stored, or in a journal" in caplog.messages)
    ended = "store: the process that writes to it has ended (exit code -9); restarting it"
    assert caplog.messages.count(ended) == 2
    assert not any("wait in memory" in message for message in caplog.messages)
    assert {row.uuid for row in rows()} == {call.uuid for call in calls}


def test_a_task_kills_it(client: WriterClient, rows: Rows, caplog: pytest.LogCaptureFixture) -> None:
    """If packed data cannot be unpacked, a process dies but no call is lost: it is sent again as a pickle."""
    odd, plain = Call(), Call()
    odd.request = structs.replace(odd.request, coerced=1)
    for call in (odd, plain):
        begin(client, call)
        client.put(call.ended)
    until(lambda: "restarting it" in caplog.text)
    assert client.stop()
    assert [row.uuid for row in rows()] == [odd.uuid, plain.uuid]
    assert caplog.text.count("restarting it") == 1


def test_what_is_lost_is_not_said_to_be_stored(
    client: WriterClient, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls that cannot be stored are counted as lost, once, when the others are stored and at the stop."""
    odd, plain, under_way = Call(), Call(), Call()
    odd.request = structs.replace(odd.request, headers=b"")
    under_way.request = structs.replace(under_way.request, headers=b"")
    with standing_still(pid_of(client)):
        for call in (odd, plain, under_way):
            begin(client, call)
        for call in (odd, plain):
            client.put(call.ended)
        until(lambda: len(client._unconfirmed) == 3)
        os.kill(pid_of(client), signal.SIGKILL)
    until(lambda: "store: none of 2 calls is waiting any more; this run has lost " in caplog.text and client._lost == 2)
    os.kill(pid := pid_of(client), signal.SIGKILL)  # what it has lost is not forgotten with it
    until(lambda: pid_of(client) != pid)
    assert not client.stop()
    assert not any("that had waited are stored" in message for message in caplog.messages)
    assert caplog.messages[-1] == "store: 2 calls are lost, or not known to be stored"
    assert [row.uuid for row in rows()] == [plain.uuid]


PROXY = """
import os, signal, sys, time
from pathlib import Path
from moonpalace_addons.settings.values import Settings
from moonpalace_addons.store.write.host import new_run
from moonpalace_addons.store.journal.framing import read_at
from moonpalace_addons.writer_process.client import WriterClient
from moonpalace_addons.writer_process.messages import Opening
from moonpalace_addons.writer_process.process import WriterProcess
from tests.writer_process.calls import Call

settings = Settings(database=f"sqlite:///{sys.argv[1]}", home=Path(sys.argv[1]).parent)
client = WriterClient(Opening(settings, new_run()))
over, under_way = Call("/v1/over"), Call("/v1/under/way")
for call in (under_way, over):
    client.put(call.request)
    client.put(call.response)
    call.come(*range(15))
client.put(over.ended)
print(client._process._process.pid, flush=True)
time.sleep(0.1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_proxy_is_killed(file: Path, rows: Rows) -> None:
    """The writer process stores all that the proxy had sent, ends the calls in progress, and exits."""
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
