"""Add an entry to a configuration file and leave every other byte unchanged: JSON, possibly with comments, and TOML."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<skipped>\s+|//[^\n]*|/\*.*?\*/) | (?P<token>"(?:[^"\\]|\\.)*" | [{}\[\],:] | [^\s{}\[\],:"/]+)""",
    re.DOTALL | re.VERBOSE,
)
INDENT = re.compile(r"\{\s*?\n([ \t]+)")


class UnfitFileError(Exception):
    """The file cannot be read, or has something else in the place of the entry."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token of JSON that is neither whitespace nor a comment, and its end."""

    text: str
    end: int


def json_with(text: str, keys: Sequence[str], entry: Mapping[str, object]) -> str:
    """Return JSON text with an entry at a path of keys; missing objects on the path are added."""
    if not text.strip():
        return json.dumps(nested(keys, entry), indent=2, ensure_ascii=False) + "\n"
    expected = merged(read_json(text), keys, entry)
    parsed = tokens(text)
    opened, missing = deepest(parsed, keys)
    unit = indent[1] if (indent := INDENT.search(text)) else "  "
    depth = len(keys) - len(missing) + 1
    written = json.dumps(nested(missing, entry), indent=unit, ensure_ascii=False).split("\n")[1:-1]
    lines = "\n".join(unit * (depth - 1) + line for line in written)
    is_empty = parsed[opened + 1].text == "}"
    place = parsed[opened].end
    end = "\n" + unit * (depth - 1) if is_empty else ","
    new = f"{text[:place]}\n{lines}{end}{text[place:]}"
    return checked(read_json(new), expected, new)


def toml_with(text: str, keys: Sequence[str], entry: Mapping[str, object]) -> str:
    """Return TOML text with a table for the entry at its end."""
    before = read_toml(text)
    # JSON syntax is valid for strings and lists of strings; keys are plain words.
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in entry.items()]
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    new = "\n".join([f"{text}{gap}[{'.'.join(keys)}]", *lines, ""])
    return checked(read_toml(new), merged(before, keys, entry), new)


def at(document: Mapping[str, object], keys: Sequence[str]) -> object:
    """Return the value at a path of keys; None if it is missing.

    Raise UnfitFileError if the path leads through a value that is not an object.
    """
    value: object = document
    for key in keys:
        if not isinstance(value, Mapping):
            raise UnfitFileError(f"{key!r} cannot be put where it belongs: there is no object")
        value = value.get(key)
        if value is None:
            return None
    return value


def read_json(text: str) -> dict[str, object]:
    """Return the object in a JSON text, ignoring comments and commas before closing brackets."""
    parsed = tokens(text)
    pieces = [each.text for each in parsed]
    relevant = [
        piece
        for piece, after in zip(pieces, [*pieces[1:], ""], strict=True)
        if not (piece == "," and after in ("}", "]"))
    ]
    try:
        value = json.loads(" ".join(relevant))
    except (ValueError, RecursionError) as error:
        raise UnfitFileError(f"it is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise UnfitFileError("it is not a JSON object")
    return value


def read_toml(text: str) -> dict[str, object]:
    """Return the document in a TOML text."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnfitFileError(f"it is not TOML ({error})") from error


def tokens(text: str) -> list[Token]:
    """Return the tokens of a JSON text."""
    parsed, place = list[Token](), 0
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            raise UnfitFileError(f"it is not JSON (character {place})")
        if match["token"]:
            parsed.append(Token(match["token"], match.end()))
        place = match.end()
    return parsed


def deepest(tokens: Sequence[Token], keys: Sequence[str]) -> tuple[int, Sequence[str]]:
    """Return the `{` of the innermost existing object on the path, and the keys that are missing in it."""
    opened = 0
    for depth, key in enumerate(keys):
        value = value_of(tokens, opened, key)
        if value is None:
            return opened, keys[depth:]
        opened = value
    raise UnfitFileError("the entry already exists")


def value_of(tokens: Sequence[Token], opened: int, key: str) -> int | None:
    """Return the first token of the value of a key in the object that begins at `opened`."""
    depth = 0
    for place in range(opened + 1, len(tokens)):
        text = tokens[place].text
        if depth == 0 and text.startswith('"') and tokens[place + 1].text == ":" and json.loads(text) == key:
            return place + 2
        depth += (text in ("{", "[")) - (text in ("}", "]"))
        if depth < 0:
            break
    return None


def nested(keys: Sequence[str], entry: Mapping[str, object]) -> dict[str, object]:
    """Return the entry nested in one object for each key."""
    value: Mapping[str, object] = entry
    for key in reversed(keys):
        value = {key: value}
    return dict(value)


def merged(document: Mapping[str, object], keys: Sequence[str], entry: Mapping[str, object]) -> dict[str, object]:
    """Return a document with the entry at a path of keys."""
    first, *others = keys
    inner = document.get(first, {})
    if not isinstance(inner, Mapping):
        raise UnfitFileError(f"{first!r} holds no object")
    return {**document, first: merged(inner, others, entry) if others else dict(entry)}


def checked(new: Mapping[str, object], expected: Mapping[str, object], text: str) -> str:
    """Return the text if parsing it gives the expected document; whatever way it was written, this is checked."""
    if new != expected:
        raise UnfitFileError("its form does not allow to add an entry")
    return text
