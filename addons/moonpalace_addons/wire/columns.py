"""Fit texts into a number of columns of a terminal, with East Asian characters two columns wide."""

import re
import unicodedata

ELLIPSIS = "…"
ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|U[0-9a-f]{8}|x[0-9a-f]{2})")
MIN_KEPT_SHARE = 0.6
"""A text is cut at the end of a word if that keeps this share of the columns, else within the word."""


def columns_of(character: str) -> int:
    """Return the columns that a character takes."""
    if character.isascii():
        return 1
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def width_of(text: str) -> int:
    """Return the columns that a printable text takes."""
    return len(text) if text.isascii() else sum(map(columns_of, text))


def beginning(text: str, width: int) -> str:
    """Return the longest beginning of a text that fits."""
    if text[: width + 1].isascii():
        return text[: max(0, width)]
    used = 0
    for place, character in enumerate(text):
        used += columns_of(character)
        if used > width:
            return text[:place]
    return text


def shortened(text: str, width: int) -> str:
    """Return the text; if it is too wide, its beginning and an ellipsis, cut at the end of a word if one is near."""
    fitting = beginning(text, width)
    if len(fitting) == len(text):
        return text
    kept = without_cut_escape(beginning(fitting, width - 1), text)
    words = text[: len(kept) + 1].rpartition(" ")[0]
    return (words if width_of(words) >= MIN_KEPT_SHARE * width else kept).rstrip() + ELLIPSIS if width > 0 else ""


def without_cut_escape(kept: str, text: str) -> str:
    r"""Return the beginning of a text without an escape, such as `\u8bf7`, that was cut."""
    place = kept.rfind("\\")
    found = ESCAPE.match(text, place) if place >= 0 else None
    return kept[:place] if found is not None and found.end() > len(kept) else kept


def shortened_name(name: str, width: int) -> str:
    """Return the name; if it is too wide, replace its middle by an ellipsis: both ends matter."""
    if width_of(name) <= width:
        return name
    end = beginning(name[::-1], width // 2)[::-1]
    return beginning(name, width - 1 - width_of(end)) + ELLIPSIS + end
