"""Tell what may stand at the end of an unfinished predicate, for completion."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lark.exceptions import UnexpectedInput

from moonpalace_addons.store.query.parser import MAX_LENGTH, BadTokenError, language

WHOLE = re.compile(r"""(?:[^"'`]++|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|`[^`]*+`)*+""", re.DOTALL)
"""Everything up to a string or a quoted name that is still open."""
WORD = re.compile(r"(?:[-+\w.*]*|[=!<>~%@&|]*)\Z")
"""A word or an operator that is being written."""
MAX_WORD = 200
"""Characters of such a word: looking for its beginning takes their square."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The grammar's tokens that may stand at `start`, where the word begins that is being written.

    `field` is the path that was named last, which an operator or a value belongs to.
    """

    tokens: frozenset[str]
    start: int
    field: str | None = None


def expected(text: str) -> Expected:
    """Return what may stand at the end of a text; no tokens if it is wrong before."""
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
    """Return where the word, the operator or the open string begins that a text ends with."""
    whole = WHOLE.match(text)
    end = whole.end() if whole else 0
    if end < len(text):
        return end
    first = max(0, len(text) - MAX_WORD)
    word = WORD.search(text, first)
    return word.start() if word else end
