"""Determine which tokens may follow in an unfinished predicate, for completion."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lark.exceptions import UnexpectedInput

from moonpalace_addons.store.query.parser import MAX_LENGTH, BadTokenError, language

WHOLE = re.compile(r"""(?:[^"'`]++|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|`[^`]*+`)*+""", re.DOTALL)
"""All text before a string or a quoted name that is still open."""
WORD = re.compile(r"(?:[-+\w.*]*|[=!<>~%@&|]*)\Z")
"""An unfinished word or operator at the end."""
MAX_WORD = 200
"""Maximum characters of such a word: the time to find its beginning is quadratic in them."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The tokens of the grammar that may begin at `start`, where the unfinished word begins.

    `field` is the last path in the text, to which an operator or a value belongs.
    """

    tokens: frozenset[str]
    start: int
    field: str | None = None


def expected(text: str) -> Expected:
    """Return the tokens that may follow at the end of a text; none if the text before it is invalid."""
    if len(text) > MAX_LENGTH:
        return Expected(frozenset(), len(text))
    start, field = word_start(text), None
    parser = language().parse_interactive(text[:start])
    try:
        for token in parser.iter_parse():
            field = str(token) if token.type == "PATH" else field
        accepted: set[str] = parser.accepts()  # type: ignore[no-untyped-call]
    except (UnexpectedInput, BadTokenError):
        return Expected(frozenset(), start)
    return Expected(frozenset(accepted), start, field)


def word_start(text: str) -> int:
    """Return the position of the unfinished word, operator or string at the end of a text."""
    match = WHOLE.match(text)
    end = match.end() if match else 0
    if end < len(text):
        return end
    first = max(0, len(text) - MAX_WORD)
    word = WORD.search(text, first)
    return word.start() if word else end
