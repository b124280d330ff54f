"""Locate the members of a JSON object, and the elements of its arrays, in its bytes.

The text is decoded as Latin-1, where every byte is one character: positions in the text are positions in the body
whatever its UTF-8, and the JSON grammar needs nothing beyond ASCII. All values are read by the json module's own
scanner and dropped at once, so a body of megabytes costs milliseconds and no more memory than its largest part.

A long body is mostly one list of messages. msgspec finds its elements several times as fast: it reads the body once and
returns the exact bytes of each element without building values. If these bytes, joined, follow the key and its bracket,
the position of each element is known. The remainder, in which this list is empty, is read like a short body: if it has
an empty list at that position, the whole body is valid, and its members are those of the remainder.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import NamedTuple

import msgspec

from moonpalace_addons.wire.json_value import parse

type Span = tuple[int, int]
"""Offsets in the body: of the first byte, and after the last one."""

MAX_SCANNED_SIZE = 8_000_000
"""Maximum bytes scanned, not counting the longest list. Each value in them is built, and takes up to 24 times its size
in memory."""

FAST_PATH_SIZE = 4096
"""Body size in bytes from which the longest list is located first."""

# raw_decode does the same, with overhead per call that adds up over a long array. Integers are parsed as floats because
# Python limits the digits of an int.
_scan: Callable[[str, int], tuple[object, int]] = json.JSONDecoder(parse_int=float).scan_once  # type: ignore[attr-defined]
_SPACE = re.compile(r"[ \t\n\r]*")
_OPENING = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*\[[ \t\n\r]*")
_COMMA = re.compile(rb"[ \t\n\r]*,[ \t\n\r]*")
_MAX_KEY_SEARCHES = 4
"""Maximum occurrences of a key that are tried. A key may occur elsewhere, but hardly ever in front of a list."""
_PLAIN_KEY = re.compile(r'"([^"\\\x00-\x1f]*)"[ \t\n\r]*:[ \t\n\r]*')
_NEXT_KEY = re.compile(r'[ \t\n\r]*,[ \t\n\r]*(?=")')


class Member(NamedTuple):
    """One member of the outermost object: its key and the position of its value.

    `elements` are the positions of the elements if the value is an array that was asked for, else None.
    """

    key: str
    start: int
    end: int
    elements: tuple[Span, ...] | None = None


class ListSpan(NamedTuple):
    """A list with at least one element: start of the first, end of the last, and the position of each."""

    start: int
    end: int
    elements: tuple[Span, ...]


def read_members(body: bytes, arrays: Collection[str] = ()) -> list[Member] | None:
    """Return the members of the JSON object in the body, in order; None if it is not a valid JSON object.

    Also return None if the body is too long: more than `MAX_SCANNED_SIZE` bytes outside the list located first.
    Elements are located for members that are arrays and whose key is in `arrays`. Repeated keys are all returned. Keys
    and strings that are not UTF-8 are not detected.
    """
    span = find_longest(body, tuple(arrays)) if arrays and len(body) >= FAST_PATH_SIZE else None
    return (_read_without_list(body, span, arrays) if span else None) or _read(body, arrays)


def _read_without_list(body: bytes, span: ListSpan, arrays: Collection[str]) -> list[Member] | None:
    """Return the members of a body whose list is located already; None if the list is not where it should be."""
    members = _read(body[: span.start] + body[span.end :], arrays) or []
    length = span.end - span.start
    for number, list_ in enumerate(members):
        if list_.elements == () and list_.start < span.start < list_.end:
            whole = Member(list_.key, list_.start, list_.end + length, span.elements)
            return [*members[:number], whole, *(_shifted(member, length) for member in members[number + 1 :])]
    return None


def _shifted(member: Member, length: int) -> Member:
    elements = member.elements and tuple((start + length, end + length) for start, end in member.elements)
    return Member(member.key, member.start + length, member.end + length, elements)


def _read(body: bytes, arrays: Collection[str]) -> list[Member] | None:
    if len(body) > MAX_SCANNED_SIZE:
        return None
    try:
        return _read_object(body.decode("latin-1"), arrays)
    except (ValueError, RecursionError, StopIteration):  # the scanner raises StopIteration if no value begins here
        return None


def read_value(body: bytes, place: Span) -> object:
    """Return the value at a position; None if it cannot be read: not UTF-8, too long, or nested too deeply."""
    start, end = place
    return parse(body[start:end]) if end - start <= MAX_SCANNED_SIZE else None


def _read_object(text: str, arrays: Collection[str]) -> list[Member]:
    members: list[Member] = []
    position = _skip(text, _expect(text, _skip(text, 0), "{"))
    while text[position : position + 1] != "}":
        if plain := _PLAIN_KEY.match(text, position):
            key, start = plain[1], plain.end()
        else:
            _expect(text, position, '"')
            key, position = _scan(text, position)
            start = _skip(text, _expect(text, _skip(text, position), ":"))
        if key in arrays and text[start : start + 1] == "[":
            elements, end = _read_array(text, start)
            members.append(Member(str(key), start, end, tuple(elements)))
        else:
            _, end = _scan(text, start)
            members.append(Member(str(key), start, end))
        position = _next_item(text, end, "}")
    if _skip(text, position + 1) != len(text):
        raise ValueError("something after the end")
    return members


def _read_array(text: str, start: int) -> tuple[list[Span], int]:
    """Return the positions of an array's elements, and the end of the array."""
    elements: list[Span] = []
    position = _skip(text, start + 1)
    while text[position : position + 1] != "]":
        _, end = _scan(text, position)
        elements.append((position, end))
        # The common separators, without a search: long arrays have many.
        if text.startswith(",{", end):
            position = end + 1
        elif text.startswith(", {", end):
            position = end + 2
        else:
            position = _next_item(text, end, "]")
    return elements, position + 1


def _next_item(text: str, position: int, close: str) -> int:
    """Return the position of the next item: after a comma, or at the closing bracket."""
    if text[position : position + 1] == close:
        return position
    if quick := _NEXT_KEY.match(text, position):
        return quick.end()
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


def find_longest(body: bytes, keys: tuple[str, ...]) -> ListSpan | None:
    """Return the longest list under one of these keys in a JSON object, None if it is not found.

    The match is a key, a bracket, and valid elements separated by commas. The caller has to check that the key belongs
    to the outermost object and that the bracket closes. A list is not found if its spelling is unusual: escapes in the
    key, whitespace that varies between commas, or a value under one of the keys that is not a list, a string or null.
    Nothing is found in a body that msgspec rejects.
    """
    try:
        read = _decoder(keys).decode(body)
    except (ValueError, RecursionError):  # all errors of msgspec are ValueErrors
        return None
    lists = ((key, value) for key in keys if isinstance(value := getattr(read, key), list) and value)
    span = max(lists, key=lambda item: len(b"".join(item[1])), default=None)
    return None if span is None else _find(body, *span)


@cache
def _decoder(keys: tuple[str, ...]) -> msgspec.json.Decoder[msgspec.Struct]:
    fields = [(key, list[msgspec.Raw] | str | None, None) for key in keys]
    return msgspec.json.Decoder(msgspec.defstruct("Lists", fields))


def _find(body: bytes, key: str, raws: list[msgspec.Raw]) -> ListSpan | None:
    for start in _openings(body, b'"%b"' % key.encode()):
        comma = _COMMA.match(body, start + len(memoryview(raws[0])))
        between = comma[0] if comma else b","
        joined = between.join(raws)
        if body.startswith(joined, start):
            return ListSpan(start, start + len(joined), tuple(_spans(start, raws, len(between))))
    return None


def _openings(body: bytes, quoted: bytes) -> Iterator[int]:
    """Yield the first positions where a list under a key has its first element."""
    end = 0
    for _ in range(_MAX_KEY_SEARCHES):
        place = body.find(quoted, end)  # many times as fast as a regular expression with the key in it
        if place < 0:
            return
        end = place + len(quoted)
        if opening := _OPENING.match(body, end):
            yield opening.end()


def _spans(start: int, raws: list[msgspec.Raw], between: int) -> Iterator[Span]:
    for raw in raws:
        end = start + len(memoryview(raw))
        yield start, end
        start = end + between
