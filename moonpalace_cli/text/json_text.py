r"""Print JSON readably without passing its values through Python.

Numbers keep their digits (`1.10`, 30-digit integers), objects their order and even their duplicate keys: what a client
really sent is what a debugging tool must show. Only white space changes, and `\uXXXX` becomes the character itself.
"""

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

INDENT = "    "
MAX_INDENT_DEPTH = 32
"""Levels that get lines of their own: what lies deeper stands in one line, or 6 KB of brackets would become 36 MB."""
LEXEME = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Valid JSON text, to be printed with its own numbers and keys; made by `parse`."""

    text: str


ENCODER = json.JSONEncoder(ensure_ascii=False)
"""Made once: `json.dumps` would make one for every value."""

type Json = bool | int | float | str | Verbatim | Sequence[Json] | Mapping[str, Json] | None


def parse(text: str) -> Verbatim | None:
    """Return the text as JSON, None where it is not (NaN and Infinity are not)."""
    try:
        # Numbers stay strings here: one of more than 4,300 digits would be an error.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return None
    return Verbatim(text)


def refuse_constant(name: str) -> NoReturn:
    """Refuse what Python's parser takes beyond JSON."""
    raise ValueError(name)


def dumps(value: Json, level: int = 0) -> str:
    """Return the value as JSON text, four spaces a level; `level` is where its first line stands."""
    if isinstance(value, Verbatim):
        return reindent(value.text, level)
    if isinstance(value, Mapping):
        members = [f"{quote(key)}: {dumps(member, level + 1)}" for key, member in value.items()]
        return enclose("{", members, "}", level)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return enclose("[", [dumps(element, level + 1) for element in value], "]", level)
    return quote(value)


def enclose(opening: str, elements: Sequence[str], closing: str, level: int) -> str:
    """Return the elements between brackets, one a line."""
    if not elements:
        return opening + closing
    separator = "\n" + INDENT * (level + 1)
    return opening + separator + ("," + separator).join(elements) + "\n" + INDENT * level + closing


def quote(value: bool | float | str | None) -> str:
    """Return a single value as JSON, with characters rather than escapes."""
    return ENCODER.encode(value)


def reindent(text: str, level: int = 0) -> str:
    """Return JSON text with new white space; the text must be valid."""
    pieces: list[str] = []
    opened = False
    for lexeme in LEXEME.findall(text):
        if lexeme in "}]":
            level -= 1
            pieces.append(lexeme if opened or level >= MAX_INDENT_DEPTH else "\n" + INDENT * level + lexeme)
            opened = False
            continue
        if opened and level <= MAX_INDENT_DEPTH:
            pieces.append("\n" + INDENT * level)
        opened = lexeme in "{["
        level += opened
        if lexeme == ",":
            pieces.append(",\n" + INDENT * level if level <= MAX_INDENT_DEPTH else ", ")
        elif lexeme == ":":
            pieces.append(": ")
        else:
            pieces.append(quote(json.loads(lexeme)) if "\\" in lexeme else lexeme)
    return "".join(pieces)


def escape_html(text: str) -> str:
    """Escape `<`, `>` and `&` in JSON text, where they stand in strings only."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Give the JSON escapes of the characters that an encoding lacks; a handler for `str.encode`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return json.dumps(missing)[1:-1], error.end


JSON_ESCAPES = "moonpalace.json_escapes"
"""The name of an error handler: `text.encode("gbk", JSON_ESCAPES)` keeps JSON text valid in any encoding."""
codecs.register_error(JSON_ESCAPES, escape_unencodable)
