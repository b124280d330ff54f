"""Add an entry to a configuration file and leave every other byte of it as it is: JSON, with comments too, and TOML."""

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
    """The file cannot be read, or has something else where the entry belongs."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of JSON that is neither whitespace nor a comment, and where it ends."""

    text: str
    end: int


def json_with(text: str, keys: Sequence[str], entry: Mapping[str, object]) -> str:
    """Return JSON text with an entry at a path of keys; objects on the way that are missing are added."""
    if not text.strip():
        return json.dumps(nested(keys, entry), indent=2, ensure_ascii=False) + "\n"
    wanted = merged(read_json(text), keys, entry)
    found = tokens(text)
    opened, missing = deepest(found, keys)
    unit = indent[1] if (indent := INDENT.search(text)) else "  "
    depth = len(keys) - len(missing) + 1
    written = json.dumps(nested(missing, entry), indent=unit, ensure_ascii=False).split("\n")[1:-1]
    lines = "\n".join(unit * (depth - 1) + line for line in written)
    is_empty = found[opened + 1].text == "}"
    place = found[opened].end
    end = "\n" + unit * (depth - 1) if is_empty else ","
    new = f"{text[:place]}\n{lines}{end}{text[place:]}"
    return checked(read_json(new), wanted, new)


def toml_with(text: str, keys: Sequence[str], entry: Mapping[str, object]) -> str:
    """Return TOML text with a table for the entry at its end."""
    before = read_toml(text)
    # Strings and lists of strings are written as in JSON; keys are plain words.
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in entry.items()]
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    new = "\n".join([f"{text}{gap}[{'.'.join(keys)}]", *lines, ""])
    return checked(read_toml(new), merged(before, keys, entry), new)


def at(document: Mapping[str, object], keys: Sequence[str]) -> object:
    """Return what a document has at a path of keys, None for nothing; raise UnfitFileError for no object on the way."""
    value: object = document
    for key in keys:
        if not isinstance(value, Mapping):
            raise UnfitFileError(f"{key!r} cannot be put where it belongs: there is no object")
        value = value.get(key)
        if value is None:
            return None
    return value


def read_json(text: str) -> dict[str, object]:
    """Return the object that a JSON text is, with comments and commas before closing brackets left out."""
    found = tokens(text)
    pieces = [each.text for each in found]
    kept = [
        piece
        for piece, after in zip(pieces, [*pieces[1:], ""], strict=True)
        if not (piece == "," and after in ("}", "]"))
    ]
    try:
        value = json.loads(" ".join(kept))
    except (ValueError, RecursionError) as error:
        raise UnfitFileError(f"it is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise UnfitFileError("it is not a JSON object")
    return value


def read_toml(text: str) -> dict[str, object]:
    """Return the document that a TOML text is."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnfitFileError(f"it is not TOML ({error})") from error


def tokens(text: str) -> list[Token]:
    """Return the tokens of a JSON text."""
    found, place = list[Token](), 0
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            raise UnfitFileError(f"it is not JSON (character {place})")
        if match["token"]:
            found.append(Token(match["token"], match.end()))
        place = match.end()
    return found


def deepest(found: Sequence[Token], keys: Sequence[str]) -> tuple[int, Sequence[str]]:
    """Return the `{` of the innermost object on the path that is there, and the keys that are missing in it."""
    opened = 0
    for depth, key in enumerate(keys):
        value = value_of(found, opened, key)
        if value is None:
            return opened, keys[depth:]
        opened = value
    raise UnfitFileError("the entry is there already")


def value_of(found: Sequence[Token], opened: int, key: str) -> int | None:
    """Return the token with which the value of a key begins in the object that `opened` opens."""
    depth = 0
    for place in range(opened + 1, len(found)):
        text = found[place].text
        if depth == 0 and text.startswith('"') and found[place + 1].text == ":" and json.loads(text) == key:
            return place + 2
        depth += (text in ("{", "[")) - (text in ("}", "]"))
        if depth < 0:
            break
    return None


def nested(keys: Sequence[str], entry: Mapping[str, object]) -> dict[str, object]:
    """Return the entry inside one object for each key."""
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


def checked(new: Mapping[str, object], wanted: Mapping[str, object], text: str) -> str:
    """Return the text if it says what is wanted, which no way of writing may prevent us from checking."""
    if new != wanted:
        raise UnfitFileError("its form does not allow to add an entry")
    return text
