"""Tests of printing JSON without changing it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire.json_text import (
    JSON_ESCAPES,
    MAX_INDENT_DEPTH,
    Json,
    Verbatim,
    dumps,
    escape_html,
    parse,
    reindent,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 0, 3]))
def test_layout_is_that_of_the_standard_library(value: object, indent: int | None) -> None:
    """Whatever whitespace and escapes JSON has, it is printed like `json.dumps(indent=4)`."""
    written = json.dumps(value, indent=indent)
    assert reindent(written) == json.dumps(value, indent=4, ensure_ascii=False)


DEEP = ("[" * 3_000 + "]" * 3_000, '{"a":' * 1_200 + "1" + "}" * 1_200, "[" * 33 + "1,1" * 999 + "]" * 33)


@pytest.mark.parametrize("text", DEEP)
def test_deep_nesting_takes_bounded_room(text: str) -> None:
    """Values nested too deeply are on one line: whitespace is bounded for each line."""
    printed = reindent(text)
    assert parse(printed) is not None
    assert "".join(printed.split()) == text
    assert max(len(line) - len(line.lstrip()) for line in printed.split("\n")) == 4 * MAX_INDENT_DEPTH


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("[1.10, 1e400, -0, 123456789012345678901234567890]", "1.10 1e400 -0 123456789012345678901234567890"),
        ('{"a":1,"a":2}', '"a": 1 "a": 2'),
        (r'["\u4e2d\u6587 \ud83d\ude80 \/ \n"]', r'"中文 🚀 / \n"'),
        (r'["<b> \\\" {,}: []"]', r'"<b> \\\" {,}: []"'),
        ("1" * 5000, "1" * 5000),
    ],
)
def test_values_keep_their_form(text: str, printed: str) -> None:
    """Digits, exponents and duplicate keys are kept; escapes become characters, except those that JSON requires."""
    parsed = parse(text)
    assert parsed is not None
    lines = [line.strip().rstrip(",") for line in dumps(parsed).strip("[{}]").strip().split("\n")]
    assert " ".join(lines) == printed


@pytest.mark.parametrize(
    "text", ["", "data: {}", "{", "NaN", "[Infinity]", "{'a': 1}", '"a\nb"', "[" * 100_000 + "]" * 100_000, "\ufeff{}"]
)
def test_what_is_not_json_is_none(text: str) -> None:
    """Text that is not JSON, or nested too deeply, is rejected."""
    assert parse(text) is None


def test_verbatim_text_is_indented_where_it_stands() -> None:
    """JSON text within a document is indented by its level; empty brackets stay together."""
    document: Json = {"a": [1, Verbatim('{"x":[],"y":{"z":null}}')], "b": {}, "c": (True, "é")}
    assert dumps(document).split("\n") == [
        "{",
        '    "a": [',
        "        1,",
        "        {",
        '            "x": [],',
        '            "y": {',
        '                "z": null',
        "            }",
        "        }",
        "    ],",
        '    "b": {},',
        '    "c": [',
        "        true,",
        '        "é"',
        "    ]",
        "}",
    ]


def test_html_is_escaped_inside_strings() -> None:
    """`escape_html` escapes HTML markup, and the JSON is equivalent."""
    text = escape_html(dumps({"a": "<b>&</b>"}))
    assert text == '{\n    "a": "\\u003cb\\u003e\\u0026\\u003c/b\\u003e"\n}'
    assert json.loads(text) == {"a": "<b>&</b>"}


@pytest.mark.parametrize(
    ("encoding", "encoded"),
    [("utf-8", "中é🚀\\ud800".encode()), ("gbk", "中é".encode("gbk") + rb"\ud83d\ude80\ud800"), ("ascii", None)],
)
def test_characters_that_an_encoding_lacks_become_json_escapes(encoding: str, encoded: bytes | None) -> None:
    """JSON stays valid and equivalent in any encoding, even with lone surrogates."""
    text = '"中é🚀\ud800"'
    result = text.encode(encoding, JSON_ESCAPES)
    assert encoded is None or result == b'"' + encoded + b'"'
    assert json.loads(result.decode(encoding)) == json.loads(text)
