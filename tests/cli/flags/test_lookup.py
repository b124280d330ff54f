"""Tests of opening the store."""

import pytest
from sqlalchemy import text

from moonpalace_addons.errors import StoreError
from moonpalace_cli.flags.lookup import opened
from tests.cli.conftest import Store


def test_a_damaged_store_is_one_line(store: Store) -> None:
    """A database error while reading becomes a StoreError."""
    database = str(store.engine.url)
    with (
        pytest.raises(StoreError, match=r"^the database refuses: no such table: nowhere$"),
        opened(database) as engine,
        engine.connect() as connection,
    ):
        connection.execute(text("SELECT * FROM nowhere"))
