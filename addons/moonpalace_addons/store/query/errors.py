"""Report a mistake in a predicate: what is wrong, and a caret under where."""

from __future__ import annotations

from wcwidth import wcswidth, wcwidth

from moonpalace_addons.errors import MoonPalaceError

BEFORE, AFTER = 60, 30
"""Columns of the text that are shown before and after the mistake."""


class PredicateError(MoonPalaceError):
    """Report a mistake; `detail` is the text of the predicate with a caret under `position`, a number of characters."""

    exit_code = 2

    def __init__(self, message: str, text: str, position: int) -> None:
        super().__init__(f"predicate: {message}")
        self.position = min(max(position, 0), len(text))
        self.detail = marked(text, self.position)


def marked(text: str, position: int) -> str:
    """Return the line of `text` that holds `position`, cut to what is near, and a line with a caret below it."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    before = printable(text[start:position])
    after = printable(text[position : len(text) if end < 0 else end])
    left, right = last_columns(before, BEFORE), first_columns(after, AFTER)
    dots = "…" if left != before else ""
    line = f"{dots}{left}{right}{'…' if right != after else ''}"
    return f"  {line}\n  {' ' * (len(dots) + width(left))}^"


def printable(text: str) -> str:
    """Return the text with one visible character for each that a terminal would not print as it is."""
    return "".join(" " if character == "\t" else character if wcwidth(character) > 0 else "�" for character in text)


def width(text: str) -> int:
    """Return the columns that printable text takes."""
    return max(wcswidth(text), 0)


def first_columns(text: str, columns: int) -> str:
    """Return as much of the beginning as fits."""
    taken = 0
    for number, character in enumerate(text):
        taken += wcwidth(character)
        if taken > columns:
            return text[:number]
    return text


def last_columns(text: str, columns: int) -> str:
    """Return as much of the end as fits."""
    return first_columns(text[::-1], columns)[::-1]
