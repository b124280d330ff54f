"""The file of the original, and the clock where it was written."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.incoming.upgraded import REFERENCE


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Give a copy of the file that the original wrote, readable by all as it left it."""
    file = tmp_path / "moonpalace.sqlite"
    shutil.copyfile(REFERENCE, file)
    file.chmod(0o644)
    return file


@pytest.fixture
def shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the clock into Shanghai, where the reference was written."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
