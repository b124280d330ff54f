"""Tests of the console process that is started with a proxy, with a real process."""

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moonpalace_addons.settings.values import Settings, resolve
from moonpalace_addons.writer_process import console_process
from moonpalace_addons.writer_process.console_process import ConsoleProcess
from tests.waiting import until

type Start = Callable[..., ConsoleProcess]


@pytest.fixture
def start(file: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Start]:
    """Give a function that starts a console for the test's store, on a free port by default."""
    caplog.set_level(logging.INFO, "moonpalace")
    started: list[ConsoleProcess] = []

    def run(port: int = 0) -> ConsoleProcess:
        given = {"database": str(file), "console": True, "console-port": port}
        started.append(ConsoleProcess(settings(file, given)))
        return started[-1]

    yield run
    for each in started:
        each.close()


def settings(file: Path, given: dict[str, object]) -> Settings:
    """Return settings for a home in the folder of a file."""
    return resolve(given, {"MOONPALACE_HOME": str(file.parent)})


def test_it_is_killed(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """One line says that it has ended."""
    console = start()
    until(lambda: "MoonPalace console => http://127.0.0.1:" in caplog.text)
    assert console._process is not None
    os.kill(console._process._process.pid, signal.SIGKILL)
    until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[1] == "the console has ended (exit code -9): mpal web shows the calls; the proxy continues"


def test_its_port_is_in_use(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """One line says so, and how to choose another port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        console = start(port)
        until(lambda: console._process is not None and console._process.exit_code is not None)
        assert console._process is not None
        assert console._process.wait() == 0
    expected = (
        f"the console cannot listen on 127.0.0.1:{port}: Address already in use; --console-port 0 takes a free port"
    )
    assert caplog.messages == [expected]


def test_it_cannot_be_started(start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """One line says why."""

    def refuse(*_: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(console_process, "Companion", refuse)
    start()
    until(lambda: caplog.messages == ["the console could not be started: no more processes"])
