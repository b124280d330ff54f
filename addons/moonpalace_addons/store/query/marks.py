r"""Find texts of which a body must hold one, as it is written, for a comparison to hold.

Looking for them costs a fraction of parsing. JSON may write any character as \uXXXX: a body that does so with ASCII
characters, or at all, is never passed over.
"""

from __future__ import annotations

import re

from moonpalace_addons.store.query.tree import Comparison, Member, Path, Presence, Text

PLAIN = re.compile(r"[ !#-.0-9:-\[\]^-~]+|[^\x00-\x7f]+")
"""Characters that JSON never has to escape; a slash may be."""

COMMON = frozenset(("role", "content", "messages", "model", "choices", "message", "finish_reason", "usage", "id"))
"""Names that nearly every body has."""
MOST = 4


def marks(node: Comparison | Presence) -> tuple[str, ...]:
    """Return the texts, none if every body has to be looked at."""
    if isinstance(node, Comparison) and node.comparator in ("==", "@"):
        texts = [longest(value.value) for value in node.values if isinstance(value, Text)]
        if len(texts) == len(node.values) and 0 < len(texts) < MOST and all(texts):
            return with_escapes(*texts)
    name = last_name(node.path)
    return with_escapes(name) if name else ()


def last_name(path: Path) -> str:
    """Return what can be looked for of the last name in a path, empty if it tells nothing."""
    names = [step.name for step in path.steps if isinstance(step, Member)]
    return longest(names[-1]) if names and names[-1] not in COMMON else ""


def longest(text: str) -> str:
    """Return the longest part of a text that is written as it is, empty if there is none.

    Arrays and objects count as text too, without the white space that bodies have in them.
    """
    return max(PLAIN.findall(text), key=len, default="") if text[:1] not in ("[", "{") else ""


def with_escapes(*texts: str) -> tuple[str, ...]:
    """Return the texts and what bodies have that write some of their characters as escapes."""
    return (*texts, "\\u00" if all(text.isascii() for text in texts) else "\\u")
