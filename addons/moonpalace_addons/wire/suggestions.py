"""Suggest known names for an unknown one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def nearest(name: str, known: Iterable[str], limit: int = 3, cutoff: float = 0.65) -> list[str]:
    """Return the most similar known names, best first; if there are none, those that contain the name."""
    from difflib import get_close_matches  # only needed for errors; it takes 3 ms

    name, known = name[:50], list(known)
    matches = get_close_matches(name, known, limit, cutoff)
    return matches or [candidate for candidate in known if name and name in candidate][:limit]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question with the most similar names; empty if there are none."""
    matches = nearest(name, known)
    return f"did you mean {either(matches)}?" if matches else ""


def either(words: Sequence[str]) -> str:
    """Join words as alternatives: a, b or c."""
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last
