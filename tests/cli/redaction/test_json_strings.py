"""Tests of replacing in the strings of JSON."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_cli.redaction.json_strings import KEY, json_replacements, replacements, scalars
from moonpalace_cli.redaction.replacing import Place, Replacement, apply

BODY = Place("body")


class Shout:
    """Replace `a` by `A`, and record the visits."""

    def __init__(self) -> None:
        self.seen: list[tuple[tuple[str | int, ...], str]] = []

    def text(self, place: Place, text: str) -> Sequence[Replacement]:
        """Replace each a."""
        self.seen.append((place.path, text))
        return [Replacement(at, at + 1, "A") for at, character in enumerate(text) if character == "a"]

    def binary(self, place: Place, data: bytes) -> bytes:
        """Leave bytes as they are."""
        return data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"x"', [("x", (), False)]),
        ("12", [("12", (), False)]),
        ("null", []),
        ('{"k": [1.50, {"b": "y\\u0041"}, true, "z"], "n": {}, "m": []}', None),
    ],
)
def test_scalars(text: str, expected: list[tuple[str, tuple[str | int, ...], bool]] | None) -> None:
    """Strings, numbers and keys are visited with their value, their path and their exact span."""
    found = list(scalars(text))
    if expected is None:
        expected = [
            ("k", (), True),
            ("1.50", ("k", 0), False),
            ("b", ("k", 1), True),
            ("yA", ("k", 1, "b"), False),
            ("z", ("k", 3), False),
            ("n", (), True),
            ("m", (), True),
        ]
    assert [(scalar.value, scalar.path, scalar.is_key) for scalar in found] == expected
    assert all(text[scalar.start : scalar.end].strip('"') for scalar in found)


def test_only_what_changes_is_rewritten() -> None:
    """Whitespace, numbers, escapes and the order of everything else are unchanged."""
    text = '{ "a\\u0062" : "b\\u0061c",\t"n":1.10,"x":"\\u4e2d","d":1,"d":2 }'
    changed = apply(text, json_replacements(text, BODY, Shout()))
    assert changed == '{ "Ab" : "bAc",\t"n":1.10,"x":"\\u4e2d","d":1,"d":2 }'


def test_json_in_a_string_is_looked_into() -> None:
    """The arguments of a tool call are JSON in a string: its members are visited under their own names."""
    inner = json.dumps({"user": "anna", "n": [1]})
    visitor = Shout()
    text = json.dumps({"arguments": inner})
    changed = apply(text, json_replacements(text, BODY, visitor))
    assert json.loads(json.loads(changed)["Arguments"]) == {"user": "AnnA", "n": [1]}
    assert (("arguments", "user"), "anna") in visitor.seen
    assert ((KEY,), "arguments") in visitor.seen


@pytest.mark.parametrize("text", ["", "plain a", "{not json a", "[1,", '{"a": NaN}'])
def test_text_that_is_no_json(text: str) -> None:
    """Text that is not JSON is visited unchanged."""
    visitor = Shout()
    assert apply(text, replacements(text, BODY, visitor)) == text.replace("a", "A")
    assert visitor.seen == [((), text)]


def swapped(value: object) -> object:
    """Return a value with each a in it replaced."""
    if isinstance(value, str):
        return value.replace("a", "A")
    if isinstance(value, list):
        return [swapped(element) for element in value]
    if isinstance(value, dict):
        return {swapped(key): swapped(element) for key, element in value.items()}
    return value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab\\"\n中{[,:]}', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"', max_size=2), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, st.booleans())
def test_any_json(value: object, ascii_only: bool) -> None:
    """Replacing in the text of JSON gives the text of the JSON with the strings replaced."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    changed = apply(text, json_replacements(text, BODY, Shout()))
    assert json.loads(changed) == swapped(value)
