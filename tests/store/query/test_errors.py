"""Tests of the caret under a mistake."""

import pytest
from wcwidth import wcswidth

from moonpalace_addons.store.query.errors import PredicateError, marked


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("id ===", 5, "  id ===\n       ^"),
        ("", 0, "  \n  ^"),
        ("a", 1, "  a\n   ^"),
        ("名.字 = '好'", 4, "  名.字 = '好'\n        ^"),
        ("a == 1\n&& b = 2\n&& c", 12, "  && b = 2\n       ^"),
        ("\ta\x00b\x1b[1m", 3, "   a�b�[1m\n     ^"),
    ],
)
def test_caret(text: str, position: int, expected: str) -> None:
    """The caret is under the character, whatever the width of those before it; all output is escaped."""
    assert marked(text, position) == expected


@pytest.mark.parametrize("letter", ["x", "好"])
@pytest.mark.parametrize("position", [0, 150, 299])
def test_long_text_is_cut_around_the_mistake(letter: str, position: int) -> None:
    """Only the part of a long line around the mistake is shown, so that it fits a terminal."""
    text = letter * position + "?" + letter * (299 - position)
    line, caret = marked(text, position).split("\n")
    assert wcswidth(line) <= 100
    assert wcswidth(line.partition("?")[0]) == caret.index("^")
    assert (line[2] == "…", line[-1] == "…") == (position > 0, position < 299)


def test_position_past_the_end() -> None:
    """A position beyond the text is treated as its end."""
    assert PredicateError("x", "ab", 9).position == 2
