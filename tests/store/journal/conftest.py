"""The place of journals."""

from pathlib import Path

import pytest

from moonpalace_addons.store.journal.journal_place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give the place of the journals of a store."""
    return Place(tmp_path, "calls.sqlite")
