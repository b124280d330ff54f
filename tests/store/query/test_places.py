"""Tests of the values at a path in a JSON body."""

import json

import pytest

from moonpalace_addons.store.query.places import MAX_DEPTH, Step, lengths, places
from tests.tables import for_each

MESSAGES = '{"m": [{"r": "x"}, {"r": null}, {}, "s", 5, [1], {"r": {"d": 1.10}}]}'


@for_each(
    ("body", "steps", "expected"),
    [
        ('{"a": 1, "b": 2}', ["b"], "[2]"),
        ('{"a": {"b": [1, {"c": "x"}]}}', ["a", "b", -1, "c"], '["x"]'),
        ('{"a": 1}', ["b"], "[null]"),
        ('{"a": 1}', ["a", "b", 0], "[null]"),
        ('{"a": [1, 2]}', ["a", 2], "[null]"),
        ('{"a": [1, 2]}', ["a", -3], "[null]"),
        ("[1, 2]", [1], "[2]"),
        ("[1, 2]", ["a"], "[null]"),
        ('{"0": 1}', [0], "[null]"),
        (MESSAGES, ["m", None, "r"], '["x",null,null,null,null,null,{"d": 1.10}]'),
        (MESSAGES, ["m", None, "r", "d"], "[null,null,null,null,null,null,1.10]"),
        (MESSAGES, ["m", None, "r", None], "[]"),
        (MESSAGES, ["m", -1], '[{"r": {"d": 1.10}}]'),
        ("[[1, 2], [3], 4]", [None, None], "[1,2,3]"),
        ('{"a": 1}', [None], "[]"),
        ('{"a": 1}', ["a", None], "[]"),
        # of equal keys the last, at every level, however they are written
        ('{"a": 1, "a": 2}', ["a"], "[2]"),
        ('{"a": {"b": 1, "b": 2}, "\\u0061": {"b": 3, "b": 4}}', ["a", "b"], "[4]"),
        ('{"a": [{"b": 1}], "a": 5}', ["a", 0, "b"], "[null]"),
        ('{"a": 5, "a": [{"b": 1}]}', ["a", 0, "b"], "[1]"),
        # what is written stays
        ('{"a": 123456789012345678901234567890}', ["a"], "[123456789012345678901234567890]"),
        ('{"a": 1e999}', ["a"], "[1e999]"),
        ('{"a": "\\u4f60"}', ["a"], '["\\u4f60"]'),
        # NUL
        ('{"a": "x\\u0000y\\\\u0000\\u0000"}', ["a"], '["x\\ufffdy\\\\u0000\\ufffd"]'),
        # what msgspec refuses
        ('{"a": "\\ud800x", "b": [1e999, {"c": 1}]}', ["b", 1, "c"], "[1.0]"),
        ('{"a": "\\ud800x", "b": [{"c": 1}, {}, 1]}', ["b", None, "c"], "[1.0, null, null]"),
        ('{"a\\"": {"\\\\": 1}}', ['a"', "\\"], "[1.0]"),
        # no JSON
        ("", ["a"], "[null]"),
        ("", [None], "[]"),
        (None, ["a"], "[null]"),
        (None, ["a", None], "[]"),
        ('{"a": 1}x', ["a"], "[null]"),
        ('{"a": NaN}', ["a"], "[null]"),
        ('{"a": 1, "b": [1}', ["a"], "[null]"),
    ],
)
def test_places(body: str | None, steps: list[Step], expected: str) -> None:
    """Each place gives its value, or null."""
    result = places(None if body is None else body.encode(), json.dumps(steps))
    assert result.replace(",", "").replace(" ", "") == expected.replace(",", "").replace(" ", "")
    json.loads(result)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[]", "[0]"),
        ("[1, [2, 3]]", "[2]"),
        ('{"b": 1, "c": 2, "b": 3}', "[2]"),
        ('"h\\u00e9\\u0000l"', "[4]"),
        ('"\\ud83d\\ude00"', "[1]"),
        ('"\\ud83d"', "[1]"),
        ("12", "[null]"),
        ("null", "[null]"),
        ("[" * 5_000 + "]" * 5_000, "[1]"),
    ],
)
def test_lengths(written: str, expected: str) -> None:
    """Elements, distinct members and characters are counted."""
    assert lengths(f'{{"a": {written}}}'.encode(), '["a"]') == expected
    assert lengths(f'{{"a": [{written}]}}'.encode(), '["a", null]') == expected


@pytest.mark.parametrize("levels", [MAX_DEPTH, MAX_DEPTH + 1, 3_000, 100_000])
def test_deep_values(levels: int) -> None:
    """Values too deep for SQLite count as missing; others are found as long as the body can be read."""
    body = f'{{"a": {"[" * levels}{"]" * levels}, "b": "{"[" * levels}"}}'.encode()
    assert len(places(body, '["a"]')) == (2 * levels + 2 if levels <= MAX_DEPTH else len("[null]"))
    assert len(places(body, '["b"]')) in (levels + 4, len("[null]"))


def test_brackets_in_text_are_no_levels() -> None:
    """Only arrays and objects count as levels."""
    body = json.dumps({"a": ["[" * 2 * MAX_DEPTH, '"\\' * MAX_DEPTH]})
    assert places(body.encode(), '["a"]') == f"[{body[len('{"a": ') : -1]}]"
