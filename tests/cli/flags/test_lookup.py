"""Tests of finding one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from sqlalchemy import text

from moonpalace_addons.errors import NotFoundError, StoreError
from moonpalace_cli.flags.lookup import find_call, opened

if TYPE_CHECKING:
    from tests.cli.conftest import Store


def test_the_newest_match_is_found_and_the_others_are_named(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Of several calls with one identifier the newest counts, and all the others are named."""
    for _ in range(13):
        store.add()
    found = find_call(store.engine, row_id=None, chatcmpl="chatcmpl-00000001", request_id=None)
    assert found.id == 13
    assert capsys.readouterr().err == (
        "13 calls match; this is the newest, 13; the others: 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1\n"
    )


def test_all_identifiers_must_hold(store: Store) -> None:
    """Identifiers narrow each other down, and the message repeats them."""
    store.add(chatcmpl_id="a")
    second = store.add(chatcmpl_id="b")
    assert find_call(store.engine, row_id=second, chatcmpl="b", request_id="req-00000001-aaaa-bbbb").id == second
    with pytest.raises(NotFoundError) as caught:
        find_call(store.engine, row_id=second, chatcmpl="a", request_id=None)
    assert str(caught.value) == "no stored call has id 2 and chatcmpl a; mpal list shows what there is"


def test_an_identifier_is_needed(store: Store) -> None:
    """Without any identifier the usage is wrong."""
    with pytest.raises(click.UsageError, match="at least one of the flags in the group"):
        find_call(store.engine, row_id=None, chatcmpl=None, request_id=None)


def test_a_damaged_store_is_one_line(store: Store) -> None:
    """What the database complains about while it is read becomes a StoreError."""
    database = str(store.engine.url)
    with (
        pytest.raises(StoreError, match=r"^the database refuses: no such table: nowhere$"),
        opened(database) as engine,
        engine.connect() as connection,
    ):
        connection.execute(text("SELECT * FROM nowhere"))
