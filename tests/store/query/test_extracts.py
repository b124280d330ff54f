"""Tests of the table of paths with extracted columns."""

from moonpalace_addons.store.fields import FIELDS
from moonpalace_addons.store.query.extracts import EXTRACTS
from moonpalace_addons.store.schema import EXCHANGES


def test_extracts_have_indexes() -> None:
    """The extracted columns have an index, except those that few calls have."""
    indexed = {index.columns[0].name for index in EXCHANGES.indexes}
    unindexed = {extract.column for extract in EXTRACTS.values()} - indexed
    assert unindexed == {"cached_tokens", "reasoning_tokens"}


def test_extracts_are_of_bodies() -> None:
    """Each path begins with a field that has parts."""
    assert {FIELDS[root].kind for root, _ in EXTRACTS} == {"json"}
