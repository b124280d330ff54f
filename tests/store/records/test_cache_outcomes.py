"""Correcting what rows say of context caches."""

from collections.abc import Callable

from sqlalchemy import Engine

from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.records.cache_outcomes import none_created

type Add = Callable[..., int]


def test_a_row_says_no_more_that_a_cache_was_created(engine: Engine, add: Add) -> None:
    """Only the row of the call changes, once, and only if that is what it says."""
    outcomes = {"a": "created", "b": "created", "c": "hit", "d": None}
    for uuid, outcome in outcomes.items():
        add(uuid=uuid, cache_outcome=outcome)
    assert [none_created(engine, uuid) for uuid in ("a", "a", "c", "d", "e")] == [True, False, False, False, False]
    found = {call.uuid: call.cache_outcome for call in exchanges.latest(engine, limit=None)}
    assert found == outcomes | {"a": "miss"}
