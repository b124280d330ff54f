"""Ask for a stream in the bytes of a request, and change nothing else in them.

Key order, white space, number formats, duplicate keys and escapes stay as the client wrote them: the body is not parsed
and written again, but a few bytes are put in at the right places.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_USAGE = '{"include_usage":true}'


@dataclass(frozen=True, slots=True)
class _Member:
    """One member of an object: its key, its value, and where the value stands in the text."""

    key: str
    value: object
    start: int
    end: int


def ask_for_stream(body: bytes) -> bytes | None:
    """Return the body with `stream: true` and `stream_options.include_usage: true`; None where it is to be left alone.

    That is: a body that is no JSON object in UTF-8, one whose `stream` is there and not false, and one whose
    `stream_options` is there and neither an object nor null. The body is read once, at the speed of the json module.
    """
    text = _text(body)
    members = _members(text)
    if members is None or _value(members, "stream", default=False) is not False:
        return None
    edits = _usage_edits(text, members)
    return None if edits is None else _edited(text, members, [*edits, *_edits(members, "stream", "true")])


def ask_for_usage(body: bytes) -> bytes | None:
    """Return the body of a streaming request with `stream_options.include_usage: true`; None where that is not needed.

    That is: where it is there already, and whatever `ask_for_stream` would leave alone.
    """
    text = _text(body)
    members = _members(text)
    if members is None or _value(members, "stream") is not True:
        return None
    edits = _usage_edits(text, members)
    return _edited(text, members, edits) if edits else None


@dataclass(frozen=True, slots=True)
class _Edit:
    """Put `new` in the place of text[start:end]; without a place, add it as the last member."""

    new: str
    start: int = -1
    end: int = -1


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return ""


def _members(text: str) -> list[_Member] | None:
    """Return the members of the object that the text is; None if it is none, or not valid JSON."""
    try:
        found = list(_read_members(text, _skip(text, 0)))
    except (ValueError, RecursionError):
        return None
    return found


def _read_members(text: str, at: int) -> Iterator[_Member]:
    """Iterate over the members of an object that must begin at `at` and, if it is the outermost, end the text."""
    position = _skip(text, _expect(text, at, "{"))
    while text[position : position + 1] != "}":
        _expect(text, position, '"')
        key, position = _DECODER.raw_decode(text, position)
        start = _skip(text, _expect(text, _skip(text, position), ":"))
        value, end = _DECODER.raw_decode(text, start)
        yield _Member(key, value, start, end)
        position = _skip(text, end)
        if text[position : position + 1] != "}":
            position = _skip(text, _expect(text, position, ","))
            if text[position : position + 1] == "}":
                raise ValueError("a comma before the end")
    if at == _skip(text, 0) and _skip(text, position + 1) != len(text):
        raise ValueError("something after the end")


def _expect(text: str, position: int, character: str) -> int:
    if text[position : position + 1] != character:
        raise ValueError(f"{character} was expected")
    return position + 1


def _skip(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    return space.end() if space else position


def _value(members: list[_Member], key: str, *, default: object = None) -> object:
    """Return a member's value; of several with one key the last, which is the one that parsers take."""
    return next((member.value for member in reversed(members) if member.key == key), default)


def _edits(members: list[_Member], key: str, new: str) -> list[_Edit]:
    """Return what sets a member: all places where it stands, else a new one at the end."""
    present = [_Edit(new, member.start, member.end) for member in members if member.key == key]
    return present or [_Edit(f"{json.dumps(key)}:{new}")]


def _usage_edits(text: str, members: list[_Member]) -> list[_Edit] | None:
    """Return what asks for usage: nothing if that is asked already, None if the options are odd."""
    options = _value(members, "stream_options")
    if options is None:
        return _edits(members, "stream_options", _USAGE)
    if not isinstance(options, dict):
        return None
    if options.get("include_usage") is True:
        return []
    place = next(member for member in reversed(members) if member.key == "stream_options")
    inner = list(_read_members(text, place.start))
    edits = _edits(inner, "include_usage", "true")
    if edits[0].start >= 0:
        return edits
    at = inner[-1].end if inner else place.start + 1
    return [_Edit(("," if inner else "") + edits[0].new, at, at)]


def _edited(text: str, members: list[_Member], edits: list[_Edit]) -> bytes:
    added = ",".join(edit.new for edit in edits if edit.start < 0)
    if added:
        at = members[-1].end if members else text.index("{") + 1
        edits = [*edits, _Edit(("," if members else "") + added, at, at)]
    for edit in sorted((edit for edit in edits if edit.start >= 0), key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.new + text[edit.end :]
    return text.encode()
