"""The rules by which an object is gathered from its pieces."""

from typing import Any

import pytest

from moonpalace_addons.wire.pieces import Pieces, index_of, join_text

CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "text": ([{"content": "a"}, {"content": ""}, {"content": "b"}], {"content": "ab"}),
    "identifiers": ([{"id": None}, {"id": ""}, {"id": "1"}, {"id": "2"}], {"id": "1"}),
    "a false identifier is one": ([{"created": 0}, {"created": 5}], {"created": 0}),
    "others": ([{"x": "1"}, {"x": "2"}, {"x": None}], {"x": "2"}),
    "empty texts": ([{"x": ""}, {"x": "stop"}, {"x": ""}, {"y": ""}], {"x": "stop", "y": ""}),
    "null": ([{"x": None, "content": None}], {"x": None, "content": None}),
    "no text where text is expected": ([{"content": 1}, {"content": [2]}], {"content": [2]}),
    "left out": ([{"a": 1, "skip": 2}], {"a": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rules(name: str) -> None:
    """Text grows, identifiers stay, the rest is what came last, null and empty texts overwrite nothing."""
    given, expected = CASES[name]
    pieces = Pieces()
    for piece in given:
        pieces.feed(piece, without=("skip",))
    assert pieces.result() == expected


def test_the_order_of_the_keys() -> None:
    """Keys come out in the order of their first appearance, text or not."""
    pieces = Pieces()
    pieces.feed({"role": "assistant", "content": "a"})
    pieces.feed({"x": 1, "content": "b"})
    assert list(pieces.result()) == ["role", "content", "x"]


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([], ""),
        (["a", "é", "月"], "aé月"),
        (["\ud83c", "\udf19"], "🌙"),
        (["\udf19", "\ud83c"], "\udf19\ud83c"),
        (["🌙\ud83c", "x"], "🌙\ud83cx"),
    ],
)
def test_joining_text(parts: list[str], text: str) -> None:
    """Halves of a surrogate pair become its character; lone surrogates stay what they are."""
    assert join_text(parts) == text


@pytest.mark.parametrize(("index", "expected"), [(0, 0), (3, 3), (-1, -1), (True, None), ("1", None), (1.0, None)])
def test_an_index_is_a_whole_number(index: object, expected: int | None) -> None:
    """Anything but an int is no index."""
    assert index_of({"index": index}) == expected
    assert index_of({}) is None
