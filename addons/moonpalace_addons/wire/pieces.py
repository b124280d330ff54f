"""Gather a JSON object that arrives in pieces: the rules that every level of a streamed answer shares.

    text           the strings under the keys in `TEXT` are concatenated
    identifiers    the first value under a key in `ONCE` that is not empty stays
    anything else  the last value stays
    null, ""       never overwrite a value: some servers send them where others leave the member out

A number, list or object where text is expected is kept only as long as no text has come.
"""

import re
from collections.abc import Mapping

TEXT = frozenset({"content", "reasoning_content", "reasoning", "refusal", "arguments"})
ONCE = frozenset({"id", "object", "created", "model", "system_fingerprint", "role", "name", "type"})

_SURROGATE = re.compile("[\ud800-\udfff]")


class Pieces:
    """Gather one object; time and memory are linear in what is fed."""

    def __init__(self) -> None:
        self._values: dict[str, object] = {}
        self._texts: dict[str, list[str]] = {}

    def feed(self, piece: Mapping[str, object], without: tuple[str, ...] = ()) -> None:
        """Take in one piece, except for the keys in `without`."""
        for key, value in piece.items():
            if key in without:
                continue
            known = self._values.setdefault(key, None)
            if value is None:
                continue
            if key in TEXT and isinstance(value, str):
                self._texts.setdefault(key, []).append(value)
            elif known is None or known == "" or (key not in ONCE and value != ""):
                self._values[key] = value

    def get(self, key: str) -> object:
        """Return the value that stands under `key` so far; of text, nothing."""
        return self._values.get(key)

    def result(self) -> dict[str, object]:
        """Return the object, its keys in the order of their first appearance."""
        return {**self._values, **{key: join_text(parts) for key, parts in self._texts.items()}}


def join_text(parts: list[str]) -> str:
    """Join text; where a surrogate pair was cut between two parts, make it one character again."""
    text = "".join(parts)
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def index_of(piece: Mapping[str, object]) -> int | None:
    """Return the `index` of a choice or tool call; None where it is missing or no whole number."""
    index = piece.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) else None
