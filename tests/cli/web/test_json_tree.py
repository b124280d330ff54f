"""JSON as a collapsible tree."""

import json
import re
from html import unescape

import pytest

from moonpalace_cli.web.json_tree import MAX_NODES, MAX_TEXT, tree
from tests.cli.web.samples import HOSTILE, OVERRIDE


def text_of(html: str) -> str:
    """Return the visible text, without the numbers of elements."""
    return unescape(re.sub(r"<[^>]+>", "", re.sub(r"<small[^>]*>[^<]*</small>", "", html)))


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ('{"a": 1.10, "a": 123456789012345678901234567890}', '{"a": 1.10"a": 123456789012345678901234567890}'),
        ('[true, null, "x"]', '[truenull"x"]'),
        ("[]", "[]"),
        ('{"a": {}}', '{"a": {}}'),
        ('"\\u6708\\u2028"', '"月\\u2028"'),
        (" 1 ", "1"),
    ],
)
def test_what_was_sent_is_seen(text: str, seen: str) -> None:
    """Numbers keep their digits, objects their order and duplicate keys."""
    assert text_of(str(tree(text))) == seen


def test_hostile_keys_and_values() -> None:
    """No part of the JSON becomes HTML."""
    html = str(tree(json.dumps({HOSTILE: [HOSTILE, OVERRIDE]}, ensure_ascii=False)))
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html


def test_a_long_string_is_cut() -> None:
    """The rest of a very long string is counted."""
    assert "… 1,002" in tree(json.dumps("x" * (MAX_TEXT + 1000)))


def test_deep_and_wide() -> None:
    """Neither 5,000 levels nor 100,000 elements make a page too large for a browser."""
    deep = str(tree("[" * 5000 + "]" * 5000))
    assert deep.count("<details") <= 33
    wide = str(tree("[" + ",".join("1" * 100_000) + "]"))
    assert wide.count("<div") <= MAX_NODES + 2
    assert "… 80,0" in wide
