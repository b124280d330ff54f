"""Tests of the preparations of a process beside the proxy's."""

import shutil
import threading
from pathlib import Path

import pytest

from moonpalace_cli import companion


def test_it_waits_for_the_store(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store that cannot be opened is one line in the log, however long that takes, until it is opened."""
    file = tmp_path / "moonpalace.sqlite"
    stopping, tries = threading.Event(), iter(range(5))

    def wait(_: float) -> None:
        if next(tries, None) is None:
            shutil.copy(empty_store, file)

    monkeypatch.setattr(stopping, "wait", wait)
    engine = companion.opened(f"sqlite:///{file}", stopping, "rules wait")
    assert engine is not None
    engine.dispose()
    (line,) = capsys.readouterr().out.splitlines()
    assert "rules wait for the store: " in line


def test_the_proxy_may_end_first(tmp_path: Path) -> None:
    """Nothing is opened then."""
    stopping = threading.Event()
    stopping.set()
    assert companion.opened(f"sqlite:///{tmp_path / 'moonpalace.sqlite'}", stopping, "rules wait") is None
