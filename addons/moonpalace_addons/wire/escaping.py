"""Escape characters that a terminal would interpret, or that hide what a text says."""

import re

CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001-\U000e007f]"
)
"""Characters that a terminal would interpret or hide: controls, format and direction marks, line separators."""


def escaped(text: str) -> str:
    """Return the text with JSON escapes for what a terminal would interpret, except line ends."""
    return text if text.isprintable() else CONTROL.sub(escape, text)


def escape(match: re.Match[str]) -> str:
    """Return the escape of a character, as a surrogate pair beyond U+FFFF."""
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
