"""Tests of the process for the rules which report calls, with a real process."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonpalace_addons.settings.reports import Destination, ReportRule
from moonpalace_addons.settings.values import Settings
from moonpalace_addons.writer_process import rules_process
from moonpalace_addons.writer_process.messages import Opening
from moonpalace_addons.writer_process.rules_process import RulesProcess
from tests.waiting import until


@pytest.fixture
def rules(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RulesProcess]:
    """Give an object that keeps a process for one rule running; it is stopped at the end."""
    monkeypatch.setattr(rules_process, "FIRST_DELAY", 0.0)
    monkeypatch.setattr(rules_process, "INTERVAL", 0.05)
    rule = ReportRule("bad", "nonsense >", "disk", delay=0)
    disk = Destination("disk", "folder", str(file.parent / "out"))
    settings = Settings(database=f"sqlite:///{file}", rules=(rule,), reports=(disk,), home=file.parent)
    keeper = RulesProcess(Opening(settings, {}, since=time.time_ns() // 1000))
    keeper.start()
    yield keeper
    keeper.stop()


def test_it_runs_as_long_as_the_proxy(rules: RulesProcess, caplog: pytest.LogCaptureFixture) -> None:
    """It reports errors in the proxy's log, is restarted when it is killed, and ends when it is stopped."""
    caplog.set_level(logging.INFO)
    until(lambda: "reports: rule bad: " in caplog.text)
    first = rules._process
    assert first is not None
    os.kill(first._process.pid, signal.SIGKILL)
    until(lambda: rules._process is not first)
    assert "the process that sends them has ended (exit code -9); restarting it" in caplog.text
    rules.stop()
    assert rules._process is not None
    assert rules._process.wait() == 0


def test_without_rules_there_is_none(opening: Opening) -> None:
    """There is no process until rules are configured."""
    keeper = RulesProcess(opening)
    keeper.start()
    keeper.stop()
    assert keeper._process is None
