"""Suggest known names for an unknown one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def nearest(name: str, known: Iterable[str], most: int = 3, cutoff: float = 0.65) -> list[str]:
    """Return the most similar known names, best first; if there is none, those that contain the name."""
    from difflib import get_close_matches  # only for an error; it costs 3 ms

    name, known = name[:50], list(known)
    near = get_close_matches(name, known, most, cutoff)
    return near or [candidate for candidate in known if name and name in candidate][:most]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest matches, empty if there are none."""
    near = nearest(name, known)
    return f"did you mean {either(near)}?" if near else ""


def either(words: Sequence[str]) -> str:
    """Return the words as a choice: a, b or c."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last
