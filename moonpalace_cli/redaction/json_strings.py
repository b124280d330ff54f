"""Replace text inside the strings and numbers of JSON, and keep the spelling of everything else."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from moonpalace_addons.wire.json_text import LEXEME, parse, quote
from moonpalace_cli.redaction.replacing import Place, Replacement, Visitor, apply

MAX_JSON_DEPTH = 3
"""Maximum nesting of JSON within strings of JSON, such as the arguments of a tool call."""
KEY = "(a key)"
"""Stands in the path for a key, which is not named by the key above it."""
MARKS = frozenset("{}[],:")
WORDS = frozenset({"true", "false", "null"})


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string or number of JSON text: its position, its value, and the path of keys to it; `is_key` for a key."""

    start: int
    end: int
    value: str
    path: tuple[str | int, ...]
    is_key: bool


def scalars(text: str) -> Iterator[Scalar]:
    """Yield the strings and numbers of valid JSON text; the value of a number is its digits."""
    path: list[str | int] = []
    expects_key = False
    for match in LEXEME.finditer(text):
        lexeme = match[0]
        if lexeme in MARKS:
            expects_key = follow(lexeme, path)
        elif lexeme not in WORDS:
            value = unquoted(lexeme) if lexeme[0] == '"' else lexeme
            yield Scalar(match.start(), match.end(), value, tuple(path[:-1] if expects_key else path), expects_key)
            if expects_key:
                path[-1] = value


def follow(mark: str, path: list[str | int]) -> bool:
    """Update the path for a mark; tell whether a key comes next."""
    if mark == "{":
        path.append("")
        return True
    if mark == "[":
        path.append(0)
    elif mark in "}]":
        path.pop()
    elif mark == ",":
        last = path[-1]
        if isinstance(last, str):
            return True
        path[-1] = last + 1
    return False


def unquoted(lexeme: str) -> str:
    """Return the value of a JSON string."""
    return str(json.loads(lexeme)) if "\\" in lexeme else lexeme[1:-1]


def json_replacements(text: str, place: Place, visitor: Visitor, depth: int = 0) -> list[Replacement]:
    """Return the replacements in JSON text that result from those in its strings and numbers."""
    found: list[Replacement] = []
    for scalar in scalars(text):
        where = place.at(*scalar.path, *([KEY] if scalar.is_key else []))
        inner = replacements(scalar.value, where, visitor, MAX_JSON_DEPTH if scalar.is_key else depth)
        if inner:
            found.append(Replacement(scalar.start, scalar.end, quote(apply(scalar.value, inner))))
    return found


def replacements(text: str, place: Place, visitor: Visitor, depth: int = 0) -> list[Replacement]:
    """Return the replacements in a text: inside its strings if it is JSON, else anywhere."""
    if depth < MAX_JSON_DEPTH and text.lstrip()[:1] in ("{", "[") and parse(text) is not None:
        return json_replacements(text, place, visitor, depth + 1)
    return list(visitor.text(place, text))
