"""The error for a mistake in a predicate, with a caret under its position."""

from __future__ import annotations

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.wire.columns import beginning, columns_of, width_of

CONTEXT_BEFORE, CONTEXT_AFTER = 60, 30
"""Terminal columns of the predicate shown before and after the mistake."""


class PredicateError(MoonPalaceError):
    """A mistake in a predicate; `detail` shows the text with a caret under `position`, a character offset."""

    exit_code = 2

    def __init__(self, message: str, text: str, position: int) -> None:
        super().__init__(f"predicate: {message}")
        self.position = min(max(position, 0), len(text))
        self.detail = marked(text, self.position)


def marked(text: str, position: int) -> str:
    """Return the line of `text` around `position`, shortened, with a caret on the line below."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    before = printable(text[start:position])
    after = printable(text[position : len(text) if end < 0 else end])
    left, right = last_columns(before, CONTEXT_BEFORE), beginning(after, CONTEXT_AFTER)
    dots = "…" if left != before else ""
    line = f"{dots}{left}{right}{'…' if right != after else ''}"
    return f"  {line}\n  {' ' * (len(dots) + width_of(left))}^"


def printable(text: str) -> str:
    """Return the text with control characters and other unprintable ones replaced by one visible character each."""
    return "".join(" " if character == "\t" else character if is_visible(character) else "�" for character in text)


def is_visible(character: str) -> bool:
    """Return whether a terminal gives a character its own columns."""
    return character.isprintable() and columns_of(character) > 0


def last_columns(text: str, columns: int) -> str:
    """Return the longest suffix that fits into `columns`."""
    return beginning(text[::-1], columns)[::-1]
