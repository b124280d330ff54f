"""Tests of the labels of calls."""

from uuid import uuid4

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import exchanges, labels
from moonpalace_addons.store.records.labels import Change
from moonpalace_addons.store.write.derive import request_columns
from tests.tasks import request_read


@pytest.fixture
def calls(engine: Engine, run_id: str) -> list[int]:
    """Store three calls; return their ids."""
    rows = [
        request_columns(request_read(uuid=str(uuid4())), {}, run_id=run_id, fingerprint_key=b"k" * 32) for _ in range(3)
    ]
    with writing(engine) as connection:
        return sorted(exchanges.insert_exchanges(connection, rows).values())


def category_and_note(engine: Engine, row_id: int) -> tuple[str | None, str | None]:
    """Return the labels in a call's row."""
    (exchange,) = exchanges.find(engine, id=row_id)
    return exchange.category, exchange.note


def test_labels_are_stored(engine: Engine, calls: list[int]) -> None:
    """Category, note and tags are set for exactly the given calls."""
    first, second, third = calls
    change = Change(category="badcase", note="odd 中文", tag=("code", "a,b"))
    assert labels.change(engine, [first, second], change) == 2
    assert category_and_note(engine, second) == ("badcase", "odd 中文")
    assert category_and_note(engine, third) == (None, None)
    assert labels.tags_of(engine, calls) == {first: ("a,b", "code"), second: ("a,b", "code")}


def test_labels_are_changed(engine: Engine, calls: list[int]) -> None:
    """A new category replaces the old one; a tag given twice is stored once; others are kept."""
    labels.change(engine, calls[:1], Change(category="goodcase", note="n", tag=("a", "b")))
    labels.change(engine, calls[:1], Change(category="badcase", tag=("b", "c"), untag=("a", "never")))
    assert category_and_note(engine, calls[0]) == ("badcase", "n")
    assert labels.tags_of(engine, calls) == {calls[0]: ("b", "c")}
    labels.change(engine, calls[:1], Change(category="", note="", untag=("b", "c")))
    assert category_and_note(engine, calls[0]) == (None, None)
    assert labels.tags_of(engine, calls) == {}


def test_calls_that_are_not_there(engine: Engine, calls: list[int]) -> None:
    """Labelling a call that was deleted meanwhile does nothing, and is not counted."""
    assert labels.change(engine, [calls[0], calls[-1] + 1, calls[0]], Change(tag=("x",))) == 1
    assert labels.all_tags(engine) == [("x", 1)]


def test_many_calls(engine: Engine, calls: list[int]) -> None:
    """More ids than a statement can have are handled in several."""
    many = [*range(10**6, 10**6 + 2 * labels.BATCH_SIZE), *calls]
    assert labels.change(engine, many, Change(category="goodcase")) == 3
    assert labels.tags_of(engine, many) == {}
    assert category_and_note(engine, calls[-1]) == ("goodcase", None)


def test_all_tags(engine: Engine, calls: list[int]) -> None:
    """All tags have their number of calls, most used first; a prefix is not a pattern."""
    labels.change(engine, calls, Change(tag=("code",)))
    labels.change(engine, calls[:1], Change(tag=("co_x", "zebra", "c%")))
    assert labels.all_tags(engine) == [("code", 3), ("c%", 1), ("co_x", 1), ("zebra", 1)]
    assert labels.all_tags(engine, beginning="co") == [("code", 3), ("co_x", 1)]
    assert labels.all_tags(engine, beginning="co_") == [("co_x", 1)]
    assert labels.all_tags(engine, limit=1) == [("code", 3)]
