"""The file of the original."""

import shutil
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
