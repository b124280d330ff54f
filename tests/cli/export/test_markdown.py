"""Tests of escaping text for Markdown."""

import pytest

from moonpalace_cli.export.markdown import code, escaped, fenced, shortened, table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "```\na\n```"),
        ("a ``` b", "````\na ``` b\n````"),
        ("`````", "``````\n`````\n``````"),
    ],
)
def test_fences(text: str, expected: str) -> None:
    """No text closes its fence."""
    assert fenced(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("a\nb", "`a b`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```")])
def test_code(text: str, expected: str) -> None:
    """No text closes its inline code, nor its line."""
    assert code(text) == expected


def test_escapes() -> None:
    """Ordinary text contains no markup and no second line; words with underscores stay readable."""
    assert escaped("a *b* [c](d)\n<e> finish_reason") == "a \\*b\\* \\[c\\](d) \\<e\\> finish_reason"


def test_table() -> None:
    """A bar in a value does not end its cell."""
    assert table([("a", "x|y")]) == "| | |\n| --- | --- |\n| a | `x\\|y` |"


def test_long_text_is_shortened_in_the_middle() -> None:
    """A long text keeps its beginning and its end, with a line that says how much is missing."""
    text = "a" * 60 + "b" * 4000 + "c" * 40
    assert shortened(text, 80) == "a" * 60 + "\n… (4,020 of 4,100 characters left out) …\n" + "c" * 20
    assert shortened(text, 5000) == text
