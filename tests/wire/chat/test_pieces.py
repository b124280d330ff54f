"""The rules by which an object is merged from its pieces."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from moonpalace_addons.wire.chat.pieces import MAX_DEPTH, Doubts, Pieces, index_of, join_text
from moonpalace_addons.wire.json_value import parse
from tests.linear import takes_linear_time
from tests.tables import for_each

CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "text outside of a delta": ([{"content": "a"}, {"content": ""}, {"content": "b"}], {"content": "b"}),
    "identifiers": ([{"id": None}, {"id": ""}, {"id": "1"}, {"id": "2"}], {"id": "1"}),
    "zero is no identifier": ([{"created": 0}, {"created": 5}, {"created": 6}], {"created": 5}),
    "others": ([{"x": "1"}, {"x": "2"}, {"x": None}], {"x": "2"}),
    "empty texts": ([{"x": ""}, {"x": "stop"}, {"x": ""}, {"y": ""}], {"x": "stop", "y": ""}),
    "null": ([{"x": None, "content": None}], {"x": None, "content": None}),
    "a list and a number": ([{"content": 1}, {"content": [2]}], {"content": [2]}),
    "left out": ([{"a": 1, "skip": 2}], {"a": 1}),
    "objects": (
        [{"x": {"a": 1, "b": {}}}, {"x": {"b": {"c": 2}, "d": None}}],
        {"x": {"a": 1, "b": {"c": 2}, "d": None}},
    ),
    "a list that is sent again": ([{"x": [1]}, {"x": [1]}, {"x": [1, 2]}, {"x": []}], {"x": [1, 2]}),
    "other lists": ([{"x": ["a"]}, {"x": ["b"]}], {"x": ["a", "b"]}),
}

DELTAS: dict[str, tuple[list[dict[str, Any]], dict[str, Any], list[str]]] = {
    "text": ([{"content": "a"}, {"content": ""}, {"content": "a"}], {"content": "aa"}, []),
    "unknown text": ([{"x": "H"}, {"x": "ell"}, {"x": "o"}, {"x": "o"}], {"x": "Helloo"}, []),
    "labels": (
        [{"status": "started", "request_id": "r", "name": "n"}, {"status": "done", "request_id": "r", "name": "n"}],
        {"status": "done", "request_id": "r", "name": "n"},
        [],
    ),
    "unknown text that is always the same": (
        [{"x": "Kimi"}] * 3,
        {"x": "Kimi"},
        ["x came several times with the same text, which is kept once"],
    ),
    "text that is sent whole each time": (
        [{"content": text} for text in ("I", "I see", "I see a", "I see a moon")],
        {"content": "I see a moon"},
        ["content came whole each time, the last is kept"],
    ),
    "text that only seems so": ([{"content": "1"}, {"content": "10"}], {"content": "110"}, []),
    "a loop that only seems so": (
        [{"content": "ha ha ha ha "}, {"content": "ha ha ha ha ha"}],
        {"content": "ha " * 8 + "ha"},
        [],
    ),
    "text that is sent whole in two pieces": (
        [{"content": "The user asks"}, {"content": "The user asks for more"}],
        {"content": "The user asks for more"},
        ["content came whole each time, the last is kept"],
    ),
    "nested text": (
        [
            {"audio": {"id": "a", "data": "AA", "transcript": "Hel"}},
            {"audio": {"data": "AA", "transcript": "lo", "expires_at": 5}},
            {"audio": {"expires_at": 6}},
        ],
        {"audio": {"id": "a", "data": "AAAA", "transcript": "Hello", "expires_at": 6}},
        [],
    ),
    "elements by index": (
        [
            {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "Let ", "format": "f"}]},
            {"reasoning_details": [{"index": 1, "text": "B"}, {"index": 0, "text": "me", "format": "f"}]},
            {"reasoning_details": [{"index": 0, "text": ".", "signature": "s"}]},
        ],
        {
            "reasoning_details": [
                {"type": "reasoning.text", "index": 0, "text": "Let me.", "format": "f", "signature": "s"},
                {"index": 1, "text": "B"},
            ]
        },
        [],
    ),
    "elements whose text is sent whole each time": (
        [{"reasoning_details": [{"index": 0, "text": "Let me see"[:end]}]} for end in (3, 6, 8, 10)],
        {"reasoning_details": [{"index": 0, "text": "Let me see"}]},
        ["text came whole each time, the last is kept"],
    ),
    "different elements with one index": (
        [
            {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "a"}]},
            {"reasoning_details": [{"type": "reasoning.encrypted", "index": 0, "data": "b"}]},
            {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "c"}]},
        ],
        {
            "reasoning_details": [
                {"type": "reasoning.text", "index": 0, "text": "ac"},
                {"type": "reasoning.encrypted", "index": 0, "data": "b"},
            ]
        },
        ["reasoning_details has different elements with the same index, which are kept apart"],
    ),
    "elements in the order of their indexes": (
        [{"images": [{"index": 1, "url": "b"}]}, {"images": [{"index": 0, "url": "a"}]}],
        {"images": [{"index": 0, "url": "a"}, {"index": 1, "url": "b"}]},
        [],
    ),
    "elements without an index": (
        [{"annotations": [{"url": "a"}]}, {"annotations": [{"url": "b"}]}, {"annotations": [{"url": "b"}]}],
        {"annotations": [{"url": "a"}, {"url": "b"}, {"url": "b"}]},
        [],
    ),
    "numbers": ([{"token_ids": [5]}, {"token_ids": [5, 6]}], {"token_ids": [5, 5, 6]}, []),
    "a list that grows": (
        [{"annotations": [{"url": "a"}]}, {"annotations": [{"url": "a"}, {"url": "b"}]}],
        {"annotations": [{"url": "a"}, {"url": "b"}]},
        ["annotations came whole each time, the last is kept"],
    ),
    "parts of a content, then text": (
        [{"content": ""}, {"content": [{"type": "thinking", "thinking": "x"}]}, {"content": "Hel"}, {"content": "lo"}],
        {"content": [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "Hello"}]},
        ["content came as text and as a list, kept as a list"],
    ),
    "text, then parts of a content": (
        [{"content": "a"}, {"content": "b"}, {"content": [{"type": "image"}]}, {"content": "c"}],
        {"content": [{"type": "text", "text": "ab"}, {"type": "image"}, {"type": "text", "text": "c"}]},
        ["content came as text and as a list, kept as a list"],
    ),
    "parts of a content in pieces": (
        [
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}]},
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "z"}]},
                    {"type": "text", "text": "b"},
                ]
            },
            {
                "content": [
                    {"type": "text", "text": "c"},
                    {"type": "text", "text": "d"},
                    {"type": "image", "image": "e"},
                ]
            },
            {"content": [{"type": "image", "image": "f"}]},
        ],
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "az"}]},
                {"type": "text", "text": "bc"},
                {"type": "text", "text": "d"},
                {"type": "image", "image": "e"},
                {"type": "image", "image": "f"},
            ]
        },
        [],
    ),
    "parts of a content that grow": (
        [
            {"content": [{"type": "text", "text": "a"}, {"type": "image", "image": "b"}]},
            {
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "image", "image": "b"},
                    {"type": "text", "text": "c"},
                ]
            },
            {"content": [{"type": "text", "text": "d"}]},
        ],
        {"content": [{"type": "text", "text": "a"}, {"type": "image", "image": "b"}, {"type": "text", "text": "cd"}]},
        ["content came whole each time, the last is kept"],
    ),
    "types that exclude each other": (
        [{"x": "a"}, {"x": {"b": 1}}, {"x": "c"}],
        {"x": "ac"},
        ["x came in several types, of which one is kept"],
    ),
    "arguments as an object": (
        [{"arguments": {"city": "Paris"}}, {"arguments": {"city": "Paris", "day": "x"}}],
        {"arguments": {"city": "Paris", "day": "x"}},
        [],
    ),
}


@for_each("name", DELTAS)
def test_the_rules_of_deltas(name: str) -> None:
    """In a delta texts are joined and lists merged; ambiguities are reported."""
    given, expected, warnings = DELTAS[name]
    doubts: Doubts = {}
    pieces = Pieces(doubts, joins=True, appends=True)
    for piece in given:
        pieces.feed(piece)
    assert pieces.result() == expected
    assert list(doubts) == warnings


def test_odd_names_are_quoted_with_care() -> None:
    """A server may use any names for members: a warning quotes a short, printable part without keys."""
    doubts: Doubts = {}
    pieces = Pieces(doubts, joins=True, appends=True)
    for name in ("\x1b[2J" + "x" * 1_000_000, "sk-9fR2kLmQ8vXc0TzB4nYd"):
        pieces.feed({name: "text"})
        pieces.feed({name: {"a": 1}})
    pieces.result()
    assert list(doubts) == [
        f"[2J{'x' * 37}… came in several types, of which one is kept",
        f"{'*' * 23} came in several types, of which one is kept",
    ]


def test_lists_with_an_index_take_linear_time() -> None:
    """Many pieces, each with its own id, take linear time."""

    def prepare(count: int) -> Callable[[], object]:
        def run() -> None:
            pieces = Pieces(joins=True, appends=True)
            for number in range(count):
                pieces.feed({"x": [{"index": 0, "id": str(number), "text": "a"}], "y": [number], "z": ["u", number]})
                pieces.feed({"v": [{"type": "thinking", "thinking": [{"type": "text", "text": "word"}]}]})
            pieces.result()

        return run

    assert takes_linear_time(prepare, 2_000)


@pytest.mark.parametrize("name", CASES)
def test_the_rules(name: str) -> None:
    """Outside of deltas identifiers are kept, others have the last value; null and empty texts overwrite nothing."""
    given, expected = CASES[name]
    pieces = Pieces()
    for piece in given:
        pieces.feed(piece, without=("skip",))
    assert pieces.result() == expected


def test_the_order_of_the_keys() -> None:
    """Keys are in the order of their first appearance, texts or not."""
    pieces = Pieces(joins=True)
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
    """Halves of a surrogate pair become its character; lone surrogates are kept."""
    assert join_text(parts) == text


@pytest.mark.parametrize(("index", "expected"), [(0, 0), (3, 3), (-1, -1), (True, None), ("1", None), (1.0, None)])
def test_an_index_is_a_whole_number(index: object, expected: int | None) -> None:
    """Only an int is an index."""
    assert index_of({"index": index}) == expected
    assert index_of({}) is None


@pytest.mark.parametrize("levels", [MAX_DEPTH - 1, 400, 9_000])
@pytest.mark.parametrize(("opening", "closing"), [('{"a": ', "}"), ("[", "]"), ('[{"index": 0, "a": ', "}]")])
def test_nesting_is_bounded(levels: int, opening: str, closing: str) -> None:
    """Pieces of nested objects and lists are merged at any depth up to the limit; deeper ones are kept."""
    written = f'{{"a": {opening * levels}1{closing * levels}}}'
    piece = parse(written)
    if not isinstance(piece, dict):
        return  # what cannot be read never comes here
    gathered = Pieces(joins=True)
    gathered.feed(piece)
    assert json.dumps(gathered.result()) == json.dumps(piece)
