r"""Derive substrings from a comparison, at least one of which every matching body contains.

Searching for them costs a fraction of parsing. JSON may write any character as \uXXXX, so a body with such escapes
(of ASCII characters, if the substrings are ASCII) is never excluded.
"""

from __future__ import annotations

import re

from moonpalace_addons.store.query.tree import Comparison, Member, Path, Presence, Text

PLAIN = re.compile(r"[ !#-.0-9:-\[\]^-~]+|[^\x00-\x7f]+")
"""Characters that JSON never escapes; a slash may be escaped."""

COMMON = frozenset(("role", "content", "messages", "model", "choices", "message", "finish_reason", "usage", "id"))
"""Names that nearly every body contains."""
MAX_VALUES = 4
"""Comparisons with this many values or more are not searched for by value."""


def marks(node: Comparison | Presence) -> tuple[str, ...]:
    """Return the substrings; empty if every body has to be parsed."""
    if isinstance(node, Comparison) and node.comparator in ("==", "@"):
        texts = [longest(value.value) for value in node.values if isinstance(value, Text)]
        if len(texts) == len(node.values) and 0 < len(texts) < MAX_VALUES and all(texts):
            return with_escapes(*texts)
    name = last_name(node.path)
    return with_escapes(name) if name else ()


def last_name(path: Path) -> str:
    """Return the searchable part of the last name in a path; empty if the name is common."""
    names = [step.name for step in path.steps if isinstance(step, Member)]
    return longest(names[-1]) if names and names[-1] not in COMMON else ""


def longest(text: str) -> str:
    """Return the longest part of a text that JSON writes unescaped; empty if there is none.

    Also empty for arrays and objects, which are compared without the whitespace that bodies have in them.
    """
    return max(PLAIN.findall(text), key=len, default="") if text[:1] not in ("[", "{") else ""


def with_escapes(*texts: str) -> tuple[str, ...]:
    """Return the texts plus the prefix of escapes that may stand for their characters."""
    return (*texts, "\\u00" if all(text.isascii() for text in texts) else "\\u")
