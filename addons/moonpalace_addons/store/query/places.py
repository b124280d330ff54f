r"""Find what a path leads to in a JSON body, as it is written there: what SQLite's own functions do otherwise.

Of equal keys the last one counts, as for all else that reads JSON; SQLite takes the first. The character NUL, at which
SQLite's comparisons stop, is given as U+FFFD, as on PostgreSQL, which cannot hold it. A body is read at the speed of C:
msgspec decodes to a type that has what the path names, and passes the rest over.
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
"""To a member of an object, to an element of an array (negative ones from its end), to any element."""

NOTHING = Raw(b"null")
DEEPEST = 500
"""Levels of arrays and objects in what is found: SQLite takes 1,000, and fails for more."""
NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
REPLACED = rb"\1\\ufffd"
BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|([\[{])|([\]}])', re.DOTALL)
LARGEST = 1e308


def places(body: bytes | None, packed: str) -> str:
    """Return a JSON array of what a path, a JSON array of steps, leads to: null for a place where there is nothing.

    A path without a step to any element has one place in each body, be it no JSON.
    """
    return f"[{b','.join(map(sane, raw_places(body, packed))).decode()}]"


def lengths(body: bytes | None, packed: str) -> str:
    """Return a JSON array of how many elements, different members or characters each of these places has, or null."""
    return f"[{','.join(map(length, raw_places(body, packed)))}]"


def raw_places(body: bytes | None, packed: str) -> list[bytes]:
    """Return what a path leads to, as it is written."""
    steps, decoder = prepared(packed)
    found = None if body is None or decoder is None else read_quickly(body, steps, decoder)
    if found is None and body is not None:
        found = read_slowly(body, steps)
    if found is None:
        found = [] if None in steps else [NOTHING]
    return list(map(bytes, found))


def read_quickly(body: bytes, steps: tuple[Step, ...], decoder: msgspec.json.Decoder[Any]) -> list[Raw] | None:
    """Return what the steps lead to; None in a body that msgspec refuses."""
    try:
        return list(walk(decoder.decode(body), steps))
    except (ValueError, RecursionError):  # all errors of msgspec are ValueErrors
        return None


@lru_cache(maxsize=64)
def prepared(packed: str) -> tuple[tuple[Step, ...], msgspec.json.Decoder[Any] | None]:
    """Return the steps of a path, and what decodes a body as far as they reach; None for odd names."""
    steps: tuple[Step, ...] = tuple(json.loads(packed))
    try:
        return steps, msgspec.json.Decoder(reduce(shape_around, reversed(steps), Raw))
    except ValueError:  # names with quotes, backslashes or controls cannot be those of a type
        return steps, None


def shape_around(inner: Any, step: Step) -> Any:
    """Return the type of what has a value of the type `inner` at a step, or is something else."""
    if isinstance(step, str):
        default = NOTHING if inner is Raw else None
        held = msgspec.defstruct("Held", [("value", inner, default)], rename={"value": step}, gc=False)
        return held | list[Raw] | str | float | bool | None
    return list[inner] | dict[str, Raw] | str | float | bool | None


def walk(value: Any, steps: tuple[Step, ...]) -> Iterator[Raw]:
    """Give what the steps lead to in what was decoded for them."""
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
    """Return what the steps lead to where msgspec is of no use, as with half surrogate pairs; None if it is no JSON."""
    try:
        value = json.loads(body, parse_int=number, parse_float=number, parse_constant=refused)
    except (ValueError, RecursionError):
        return None
    return [Raw(json.dumps(found).encode()) for found in values_at(value, steps)]


def number(digits: str) -> float:
    """Return a number that JSON can write again."""
    return max(-LARGEST, min(LARGEST, float(digits)))


def refused(name: str) -> float:
    """Refuse what Python's parser takes beyond JSON."""
    raise ValueError(name)


def values_at(value: object, steps: tuple[Step, ...]) -> Iterator[object]:
    """Give the values to which the steps lead."""
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
    """Return how many elements, different members or characters a value has, null for one that has none."""
    kind = {b"[": list[Raw], b"{": dict[str, Raw], b'"': str}.get(written[:1])
    if kind is None:
        return "null"
    try:
        return str(len(msgspec.json.decode(written, type=kind)))
    except (ValueError, RecursionError):  # half surrogate pairs
        return str(len(json.loads(written)))


def sane(written: bytes) -> bytes:
    """Return a value so that SQLite can read all of it: without NUL, and null for what is nested too deeply."""
    if b"\\u0000" in written:
        written = NUL.sub(REPLACED, written)
    opening = written.count(b"[") + written.count(b"{")
    return b"null" if opening > DEEPEST and depth(written) > DEEPEST else written


def depth(written: bytes) -> int:
    """Return how many arrays and objects lie around what lies deepest in JSON."""
    deepest = level = 0
    for found in BRACKETS.finditer(written):
        level += bool(found[1]) - bool(found[2])
        deepest = max(deepest, level)
    return deepest
