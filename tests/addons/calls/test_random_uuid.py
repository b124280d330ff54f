"""Random identifiers."""

from uuid import RFC_4122, UUID

from moonpalace_addons.calls.random_uuid import random_uuid


def test_it_is_a_uuid_of_version_4() -> None:
    """Python reads it as one of its own; the field that is partly random takes all its values, and none comes twice."""
    made = [random_uuid() for _ in range(1000)]
    read = [UUID(text) for text in made]
    assert [str(each) for each in read] == made
    assert {(each.version, each.variant) for each in read} == {(4, RFC_4122)}
    assert {text[19] for text in made} == set("89ab")
    assert len(set(made)) == len(made)
