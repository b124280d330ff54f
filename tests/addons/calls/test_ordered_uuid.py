"""Identifiers that begin with the time."""

import time
from uuid import RFC_4122, UUID

from moonpalace_addons.calls.ordered_uuid import ordered_uuid


def test_it_is_a_uuid_of_version_7() -> None:
    """Python accepts it as version 7; the partly random field takes all its values, and no identifier is repeated."""
    made = [ordered_uuid() for _ in range(1000)]
    read = [UUID(text) for text in made]
    assert [str(each) for each in read] == made
    assert {(each.version, each.variant) for each in read} == {(7, RFC_4122)}
    assert {text[19] for text in made} == set("89ab")
    assert len(set(made)) == len(made)


def test_it_begins_with_the_time() -> None:
    """Its first 48 bits are milliseconds since the epoch, so that later ones are greater."""
    before = time.time_ns() // 1_000_000
    made = ordered_uuid()
    assert before <= UUID(made).int >> 80 <= time.time_ns() // 1_000_000
