r"""Format JSON without converting its values to Python.

Numbers keep their digits (`1.10`, 30-digit integers), objects their order and even duplicate keys: a debugging tool
must show what a client really sent. Only whitespace changes, and `\uXXXX` becomes the character itself.
"""

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

INDENT = "    "
MAX_INDENT_DEPTH = 32
"""Levels that are indented; deeper ones stay on one line, or 6 KB of brackets would become 36 MB."""
LEXEME = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Valid JSON text, printed with its own numbers and keys; created by `parse`."""

    text: str


ENCODER = json.JSONEncoder(ensure_ascii=False)
"""Created once: `json.dumps` would create one per value."""

type Json = bool | int | float | str | Verbatim | Sequence[Json] | Mapping[str, Json] | None


def parse(text: str) -> Verbatim | None:
    """Return the text as JSON, None if it is invalid (as NaN and Infinity are)."""
    try:
        # Numbers stay strings here: one of more than 4,300 digits would be an error.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return None
    return Verbatim(text)


def refuse_constant(name: str) -> NoReturn:
    """Reject constants that Python's parser accepts beyond JSON."""
    raise ValueError(name)


def dumps(value: Json, level: int = 0) -> str:
    """Return the value as JSON text, indented by four spaces; `level` is that of its first line.

    A list of whole numbers is one line: it may be long, and nobody reads it.
    """
    if isinstance(value, Verbatim):
        return reindent(value.text, level)
    if isinstance(value, Mapping):
        members = [f"{quote(key)}: {dumps(member, level + 1)}" for key, member in value.items()]
        return enclose("{", members, "}", level)
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and all(type(element) is int for element in value):
            return f"[{', '.join(map(str, value))}]"
        return enclose("[", [dumps(element, level + 1) for element in value], "]", level)
    return quote(value)


def compact(text: str) -> str:
    """Return JSON text that `dumps` made, in one line: no string of JSON holds a line end."""
    lines = (line.lstrip(" ") for line in text.split("\n"))
    return "".join(f"{line} " if line.endswith(",") else line for line in lines)


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
    """Return JSON text with new whitespace; the text must be valid."""
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
    """Escape `<`, `>` and `&` in JSON text; they occur in strings only."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Return the JSON escapes of the characters that an encoding lacks; a handler for `str.encode`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return json.dumps(missing)[1:-1], error.end


JSON_ESCAPES = "moonpalace.json_escapes"
"""The name of an error handler: `text.encode("gbk", JSON_ESCAPES)` keeps JSON text valid in any encoding."""
codecs.register_error(JSON_ESCAPES, escape_unencodable)
