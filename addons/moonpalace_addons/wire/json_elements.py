"""Find where the members of a JSON object, and the elements of arrays in it, stand in its bytes.

The text is read as Latin-1, in which every byte is one character: positions in the text are then positions in the body,
whatever its UTF-8, and nothing in JSON's grammar needs more than ASCII. All values are read by the json module's own
scanner and dropped at once, so that a body of megabytes costs milliseconds and no more memory than its largest part.

A long body is mostly one list of messages. Its elements are found by msgspec, several times as fast, and what is left,
in which this list is empty, is read in the same way as a short body: if an empty list is found where the elements have
been, the whole is valid, and its members are those of the rest.
"""

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from moonpalace_addons.wire.json_lists import FoundList, Span, find_longest
from moonpalace_addons.wire.json_value import parse

MAX_SCANNED = 8_000_000
"""Bytes beside a body's longest list up to which they are read: each value in them is made, and takes up to 24 times as
many bytes of memory."""

LONG = 4096
"""Bytes from which a body's longest list is looked for first."""

# raw_decode does this too, after work for every call that adds up over a long array. As floats, integers may be of any
# length: the digits of what Python reads as an integer are limited.
_scan: Callable[[str, int], tuple[object, int]] = json.JSONDecoder(parse_int=float).scan_once  # type: ignore[attr-defined]
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the outermost object: its key and where its value stands.

    `elements` are the places of the value's elements if it is an array that was asked for, else None.
    """

    key: str
    start: int
    end: int
    elements: tuple[Span, ...] | None = None


def read_members(body: bytes, arrays: Collection[str] = ()) -> list[Member] | None:
    """Return the members of the JSON object that the body is, in their order; None if it is none, or not valid JSON.

    None too if it is too long to be looked through: more than `MAX_SCANNED` beside the list that is found first.
    The elements of those members that are arrays and whose key is in `arrays` are found too. Keys that repeat are all
    there. Keys and strings in another encoding than UTF-8 are not noticed.
    """
    found = find_longest(body, tuple(arrays)) if arrays and len(body) >= LONG else None
    return (_read_around(body, found, arrays) if found else None) or _read(body, arrays)


def _read_around(body: bytes, found: FoundList, arrays: Collection[str]) -> list[Member] | None:
    """Return the members of a body in which a list has been found; None if that is not where it should be."""
    members = _read(body[: found.start] + body[found.end :], arrays) or []
    length = found.end - found.start
    for number, list_ in enumerate(members):
        if list_.elements == () and list_.start < found.start < list_.end:
            whole = Member(list_.key, list_.start, list_.end + length, found.elements)
            return [*members[:number], whole, *(_moved(member, length) for member in members[number + 1 :])]
    return None


def _moved(member: Member, length: int) -> Member:
    elements = member.elements and tuple((start + length, end + length) for start, end in member.elements)
    return Member(member.key, member.start + length, member.end + length, elements)


def _read(body: bytes, arrays: Collection[str]) -> list[Member] | None:
    if len(body) > MAX_SCANNED:
        return None
    try:
        return _read_object(body.decode("latin-1"), arrays)
    except (ValueError, RecursionError, StopIteration):  # the last is how the scanner says that no value begins here
        return None


def read_value(body: bytes, place: Span) -> object:
    """Return the value at a place; None where it cannot be read: no UTF-8, a number or all of it too long, too deep."""
    start, end = place
    return parse(body[start:end]) if end - start <= MAX_SCANNED else None


def _read_object(text: str, arrays: Collection[str]) -> list[Member]:
    members: list[Member] = []
    position = _skip(text, _expect(text, _skip(text, 0), "{"))
    while text[position : position + 1] != "}":
        _expect(text, position, '"')
        key, position = _scan(text, position)
        start = _skip(text, _expect(text, _skip(text, position), ":"))
        if key in arrays and text[start : start + 1] == "[":
            elements, end = _read_array(text, start)
            members.append(Member(str(key), start, end, tuple(elements)))
        else:
            _, end = _scan(text, start)
            members.append(Member(str(key), start, end))
        position = _next(text, end, "}")
    if _skip(text, position + 1) != len(text):
        raise ValueError("something after the end")
    return members


def _read_array(text: str, start: int) -> tuple[list[Span], int]:
    """Return the places of an array's elements, and where the array ends."""
    elements: list[Span] = []
    position = _skip(text, start + 1)
    while text[position : position + 1] != "]":
        _, end = _scan(text, position)
        elements.append((position, end))
        # The common ways to write a comma, without a search: long arrays have many.
        if text.startswith(",{", end):
            position = end + 1
        elif text.startswith(", {", end):
            position = end + 2
        else:
            position = _next(text, end, "]")
    return elements, position + 1


def _next(text: str, position: int, close: str) -> int:
    """Return where the next part begins: after a comma, or at the closing bracket."""
    position = _skip(text, position)
    if text[position : position + 1] == close:
        return position
    position = _skip(text, _expect(text, position, ","))
    if text[position : position + 1] == close:
        raise ValueError("a comma before the end")
    return position


def _expect(text: str, position: int, character: str) -> int:
    if text[position : position + 1] != character:
        raise ValueError(f"{character} was expected")
    return position + 1


def _skip(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    return space.end() if space else position
