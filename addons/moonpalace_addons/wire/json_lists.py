"""Find the elements of the longest list in a JSON object, at the speed of C.

msgspec reads the body once, and gives the exact bytes of each element without making values of them. Where these bytes
stand is found by joining them: if the joined text stands behind the key and its bracket, each element has its place.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import msgspec

type Span = tuple[int, int]
"""Offsets in the body: of the first byte, and after the last one."""

_OPENING = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*\[[ \t\n\r]*")
_COMMA = re.compile(rb"[ \t\n\r]*,[ \t\n\r]*")
_TRIES = 4
"""How often a key is looked for: it may stand elsewhere too, but hardly ever before a list."""


class FoundList(NamedTuple):
    """The elements of a list, at least one: where the first begins, where the last ends, and where each stands."""

    start: int
    end: int
    elements: tuple[Span, ...]


def find_longest(body: bytes, keys: tuple[str, ...]) -> FoundList | None:
    """Return the longest of the lists with these keys in a JSON object, None if it is not found.

    What is found is a key, a bracket, and valid elements with commas between them. That the key is a member of the
    outermost object, and that the bracket closes, is for the caller to see. A list is not found where something is odd:
    escapes in the key, white space that changes from comma to comma, a value for one of the keys that is neither a list
    nor a string nor null. Nothing is found in a body that msgspec calls invalid.
    """
    try:
        read = _decoder(keys).decode(body)
    except (ValueError, RecursionError):  # all errors of msgspec are ValueErrors
        return None
    lists = ((key, value) for key in keys if isinstance(value := getattr(read, key), list) and value)
    found = max(lists, key=lambda item: len(b"".join(item[1])), default=None)
    return None if found is None else _find(body, *found)


@cache
def _decoder(keys: tuple[str, ...]) -> msgspec.json.Decoder[msgspec.Struct]:
    fields = [(key, list[msgspec.Raw] | str | None, None) for key in keys]
    return msgspec.json.Decoder(msgspec.defstruct("Lists", fields))


def _find(body: bytes, key: str, raws: list[msgspec.Raw]) -> FoundList | None:
    for start in _openings(body, b'"%b"' % key.encode()):
        comma = _COMMA.match(body, start + len(memoryview(raws[0])))
        between = comma[0] if comma else b","
        joined = between.join(raws)
        if body.startswith(joined, start):
            return FoundList(start, start + len(joined), tuple(_spans(start, raws, len(between))))
    return None


def _openings(body: bytes, quoted: bytes) -> Iterator[int]:
    """Iterate over the first places where a list behind a key has its first element."""
    end = 0
    for _ in range(_TRIES):
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
