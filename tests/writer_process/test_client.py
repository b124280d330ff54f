"""The client and real writer processes: what they store, and what happens to calls when a process dies."""

import logging
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from moonpalace_addons.errors import StoreError
from moonpalace_addons.settings.endpoints import Endpoint
from moonpalace_addons.settings.reports import ReportRule
from moonpalace_addons.settings.values import Settings
from moonpalace_addons.store.tasks import State
from moonpalace_addons.writer_process import client as client_module
from moonpalace_addons.writer_process import messages, server
from moonpalace_addons.writer_process import process as process_module
from moonpalace_addons.writer_process.client import WriterClient
from moonpalace_addons.writer_process.messages import Opening
from tests.waiting import PATIENCE, until
from tests.writer_process.calls import EVENTS, Call
from tests.writer_process.stored import Rows, backlog, begin, pid_of, stream


@pytest.mark.fresh
def test_a_stream_is_stored(client: WriterClient, file: Path, rows: Rows) -> None:
    """Each chunk is stored with its time, including the last ones."""
    call = Call()
    begin(client, call)
    call.come(*range(10))
    until(lambda: [stream(file, row.id)[0] for row in rows()] == [b"".join(EVENTS[:10])])
    call.come(*range(10, 20))
    client.put(call.ended)
    assert client.stop()
    (row,) = rows()
    assert (row.uuid, row.state) == (call.uuid, State.COMPLETED)
    data, chunks = stream(file, row.id)
    assert data == b"".join(EVENTS)
    assert [at for _, at in chunks] == list(range(2_000, 2_020))


@pytest.mark.fresh
def test_prices_are_at_hand_before_the_first_call(opening: Opening) -> None:
    """The list of prices, whose import takes 0.3 s, is loaded at the start if it may have the endpoint."""
    endpoints = Endpoint("http://127.0.0.1:1"), Endpoint("https://api.moonshot.cn")
    client = WriterClient(replace(opening, settings=replace(opening.settings, endpoints=endpoints)))
    maps = Path(f"/proc/{pid_of(client)}/maps")
    until(lambda: "pydantic_core" in maps.read_text())
    assert client.stop()


def test_what_it_logs_is_logged_here(client: WriterClient, caplog: pytest.LogCaptureFixture) -> None:
    """A stored call is logged by the same logger, with its styles, as it would be in this process."""
    caplog.set_level("INFO", "moonpalace")
    call = Call()
    begin(client, call)
    client.put(call.ended)
    client.stop()
    (record,) = [record for record in caplog.records if record.name == "moonpalace"]
    assert record.getMessage().startswith("POST   /v1/chat/completions 200 OK")
    assert record.__dict__["styles"][0] == "good"


@pytest.mark.fresh
def test_it_leaves_the_processor_to_the_proxy(client: WriterClient) -> None:
    """Under load rows wait and tokens do not: the process has a lower priority than the proxy."""
    own, other = os.getpriority(os.PRIO_PROCESS, 0), os.getpriority(os.PRIO_PROCESS, pid_of(client))
    assert other == min(19, own + server.NICE_INCREMENT)


def test_a_terminal_that_is_stopped(client: WriterClient, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that nobody reads does not prevent calls from being stored, or reported as stored, also at the end."""
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
            until(lambda: backlog(client) == (0, 0) and len(rows()))
        assert client.stop()
    finally:
        resumed.set()
        logger.removeHandler(stopped)
    assert [row.state for row in rows()] == [State.COMPLETED] * 3


def test_a_store_that_is_none(tmp_path: Path) -> None:
    """The reason why a store cannot be opened is one line, and no process stays."""
    file = tmp_path / "calls.sqlite"
    file.write_text("this is no database, whatever its name says, and never was")
    with pytest.raises(StoreError, match=r"calls\.sqlite"):
        WriterClient(Opening(Settings(database=f"sqlite:///{file}", home=tmp_path), {}))


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("nonsense >", "predicate: .*"),
        ("statsu_code == 429", "predicate: .*did you mean status_code.*"),
        ("text ~ '!'", "predicate: .*"),
    ],
)
def test_a_rule_that_is_none(opening: Opening, when: str, why: str) -> None:
    """An invalid predicate is a one-line error at the start, instead of a warning at each turn."""
    settings = replace(opening.settings, rules=(ReportRule("bad", when, "disk"),))
    with pytest.raises(StoreError, match=rf"^rules\.bad\.when in config\.yaml: {why}$"):
        WriterClient(replace(opening, settings=settings))


def test_a_process_that_does_not_start(opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends before its first message is such an error too."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StoreError, match=r"does not start \(exit code 1\)"):
        WriterClient(opening)


@pytest.mark.fresh
def test_signals_are_for_the_proxy(client: WriterClient, rows: Rows) -> None:
    """Signals that a service manager or a terminal sends to all processes do not prevent calls from being stored."""
    call = Call()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid_of(client), number)
    begin(client, call)
    client.put(call.ended)
    assert client.stop()
    assert [row.uuid for row in rows()] == [call.uuid]
    assert os.getpgid(0) != pid_of(client)


@pytest.mark.fresh
def test_its_command_shows_nothing(client: WriterClient) -> None:
    """The list of processes shows neither the store's location nor its URL."""
    command = Path(f"/proc/{pid_of(client)}/cmdline").read_text(encoding="utf-8")
    assert "moonpalace_addons.writer_process" in command
    assert "sqlite" not in command


def test_an_end_that_takes_long(
    opening: Opening, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The stop waits as long as calls are being stored, and logs how many are left."""
    monkeypatch.setattr(client_module, "NOTICE_INTERVAL", 0.1)
    client = WriterClient(opening)
    for _ in range(1_200):
        begin(client, call := Call())
        call.come(*range(20))
        client.put(call.ended)
    assert client.stop()
    assert "calls are still to be stored" in caplog.text
    assert len(rows()) == 1_000  # the newest that are asked for


def test_a_fault_of_ours(
    client: WriterClient, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If data cannot be packed, only the answer is lost, with one error in the log, and never the row."""
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
    assert error.getMessage() == "store: parts of answers are lost because of a fault in MoonPalace"


def test_reports_that_are_not_understood(
    client: WriterClient, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception while a report is handled costs only that report; its calls are not taken for stored at the stop."""
    confirmed: list[object] = []

    def failing(uuids: object) -> None:
        confirmed.append(uuids)
        raise RuntimeError("injected")

    monkeypatch.setattr(client._process, "_on_confirmed", failing)
    first, second = Call(), Call()
    begin(client, first)
    client.put(first.ended)
    until(lambda: confirmed)
    begin(client, second)
    client.put(second.ended)
    assert not client.stop()
    assert "store: 2 calls are lost, or not known to be stored" in caplog.messages
    assert len(rows()) == len(confirmed) == 2
