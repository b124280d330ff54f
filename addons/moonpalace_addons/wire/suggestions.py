"""Suggest what somebody may have meant by a name that is not known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def nearest(name: str, known: Iterable[str], most: int = 3, cutoff: float = 0.6) -> list[str]:
    """Return the known names that are most like this one, else those that contain it; the nearest first."""
    from difflib import get_close_matches  # only for an error; it costs 3 ms

    name, known = name[:50], list(known)
    near = get_close_matches(name, known, most, cutoff)
    return near or [candidate for candidate in known if name and name in candidate][:most]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest, empty where none is near."""
    near = nearest(name, known)
    return f"did you mean {either(near)}?" if near else ""


def either(words: Sequence[str]) -> str:
    """Return words as a choice: a, b or c."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last
