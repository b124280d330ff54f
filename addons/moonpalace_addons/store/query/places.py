r"""Extract the values at a path in a JSON body, in their original notation, for SQLite.

SQLite's own functions differ: of duplicate keys they take the first, while here the last one counts, as in other JSON
parsers. NUL, at which SQLite's comparisons stop, becomes U+FFFD, as on PostgreSQL, which cannot store it. For speed,
msgspec decodes to a type with only the members that the path names and skips the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache, reduce
from typing import Any

import msgspec
from msgspec import Raw

type Step = str | int | None
"""A member of an object, an element of an array (negative from its end), or None for any element."""

NOTHING = Raw(b"null")
MAX_DEPTH = 500
"""Levels of arrays and objects in a result; SQLite fails above 1,000."""
NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
REPLACED = rb"\1\\ufffd"
BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|([\[{])|([\]}])', re.DOTALL)
MAX_NUMBER = 1e308


def places(body: bytes | None, packed: str) -> str:
    """Return a JSON array of the values at a path, itself a JSON array of steps; null where there is no value.

    A path without wildcards has exactly one place in each body, even in one that is not JSON.
    """
    return f"[{b','.join(map(sqlite_safe, raw_places(body, packed))).decode()}]"


def lengths(body: bytes | None, packed: str) -> str:
    """Return a JSON array with the number of elements, distinct members or characters at each place, or null."""
    return f"[{','.join(map(length, raw_places(body, packed)))}]"


def raw_places(body: bytes | None, packed: str) -> list[bytes]:
    """Return the values at a path in their original notation."""
    steps, decoder = prepared(packed)
    raws = None if body is None or decoder is None else read_quickly(body, steps, decoder)
    if raws is None and body is not None:
        raws = read_slowly(body, steps)
    if raws is None:
        raws = [] if None in steps else [NOTHING]
    return list(map(bytes, raws))


def read_quickly(body: bytes, steps: tuple[Step, ...], decoder: msgspec.json.Decoder[Any]) -> list[Raw] | None:
    """Return the values at the steps; None for a body that msgspec refuses."""
    try:
        return list(walk(decoder.decode(body), steps))
    except (ValueError, RecursionError):  # all errors of msgspec are ValueErrors
        return None


@lru_cache(maxsize=64)
def prepared(packed: str) -> tuple[tuple[Step, ...], msgspec.json.Decoder[Any] | None]:
    """Return the steps of a path and a decoder limited to them; None for names that msgspec does not support."""
    steps: tuple[Step, ...] = tuple(json.loads(packed))
    try:
        return steps, msgspec.json.Decoder(reduce(shape_around, reversed(steps), Raw))
    except ValueError:  # field names cannot contain quotes, backslashes or control characters
        return steps, None


def shape_around(inner: Any, step: Step) -> Any:
    """Return a type for any JSON value that decodes the value at `step` as `inner`."""
    if isinstance(step, str):
        default = NOTHING if inner is Raw else None
        held = msgspec.defstruct("Held", [("value", inner, default)], rename={"value": step}, gc=False)
        return held | list[Raw] | str | float | bool | None
    return list[inner] | dict[str, Raw] | str | float | bool | None


def walk(value: Any, steps: tuple[Step, ...]) -> Iterator[Raw]:
    """Yield the values at the steps in a decoded body."""
    for place, step in enumerate(steps, 1):
        if step is None:
            for element in value if isinstance(value, list) else ():
                yield from walk(element, steps[place:])
            return
        if isinstance(step, str):
            value = getattr(value, "value", None)
        else:
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
    yield value if isinstance(value, Raw) else NOTHING


def read_slowly(body: bytes, steps: tuple[Step, ...]) -> list[Raw] | None:
    """Return the values at the steps with Python's parser, e.g. for lone surrogates; None if the body is not JSON."""
    try:
        value = json.loads(body, parse_int=number, parse_float=number, parse_constant=refused)
    except (ValueError, RecursionError):
        return None
    return [Raw(json.dumps(each).encode()) for each in values_at(value, steps)]


def number(digits: str) -> float:
    """Return a number clamped to what JSON can write."""
    return max(-MAX_NUMBER, min(MAX_NUMBER, float(digits)))


def refused(name: str) -> float:
    """Raise ValueError for NaN and Infinity, which are not JSON."""
    raise ValueError(name)


def values_at(value: object, steps: tuple[Step, ...]) -> Iterator[object]:
    """Yield the values at the steps."""
    if not steps:
        yield value
        return
    step, *others = steps
    if step is None:
        for element in value if isinstance(value, list) else ():
            yield from values_at(element, tuple(others))
        return
    below: object = None
    if isinstance(step, str) and isinstance(value, dict):
        below = value.get(step)
    elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
        below = value[step]
    yield from values_at(below, tuple(others))


def length(written: bytes) -> str:
    """Return the number of elements, distinct members or characters of a value; `null` for other values."""
    kind = {b"[": list[Raw], b"{": dict[str, Raw], b'"': str}.get(written[:1])
    if kind is None:
        return "null"
    try:
        return str(len(msgspec.json.decode(written, type=kind)))
    except (ValueError, RecursionError):  # lone surrogates
        return str(len(json.loads(written)))


def sqlite_safe(written: bytes) -> bytes:
    """Return a value that SQLite can read: without NUL, and null if it is nested too deeply."""
    if b"\\u0000" in written:
        written = NUL.sub(REPLACED, written)
    opening = written.count(b"[") + written.count(b"{")
    return b"null" if opening > MAX_DEPTH and depth(written) > MAX_DEPTH else written


def depth(written: bytes) -> int:
    """Return the nesting depth of a JSON text."""
    deepest = level = 0
    for bracket in BRACKETS.finditer(written):
        level += bool(bracket[1]) - bool(bracket[2])
        deepest = max(deepest, level)
    return deepest
