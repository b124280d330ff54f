"""The fields that an exported call has beside its documented metadata, so that an import loses none of them.

They have the names, types and units of `inspect --json`. What follows from headers and bodies is left out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime

from moonpalace_addons.store.field import Kind
from moonpalace_addons.store.fields import FIELDS, STORED, Exchange
from moonpalace_addons.store.records.values import MAX_INT64, Values

CARRIED = tuple(field.source for field in STORED if field.is_carried)
UNTOLD: Values = {name: None for name in CARRIED if name not in ("method", "started_at")} | {"is_coerced": False}
"""The columns of a call that has none of these fields."""
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What RFC 9110 allows as a method."""
MAX_METHOD = 40

type Told = bool | int | float | str | list[str] | None


def told(call: Exchange) -> dict[str, Told]:
    """Return the fields of a call, without those that it has not."""
    values = ((name, getattr(call, name)) for name in CARRIED)
    return {name: plain(value) for name, value in values if value is not None and value is not False and value != ()}


def plain(value: object) -> Told:
    """Return a value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value  # type: ignore[return-value]


def columns(found: Mapping[str, Told]) -> Values:
    """Return the columns of the fields, none without any, as exports of earlier versions are.

    Raise ValueError for a field that no call can have.
    """
    return (UNTOLD if found else {}) | {
        name: column(name, found[name]) for name in CARRIED if found.get(name) is not None
    }


def column(name: str, value: Told) -> object:
    """Return the value of a column; raise ValueError for one that no call can have."""
    what, read = METHOD if name == "method" else READERS[FIELDS[name].kind]
    try:
        return read(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"exchange.{name} is not {what}") from None


def moment(value: Told) -> int:
    """Return the microseconds since the epoch of a time with its zone."""
    if not isinstance(value, str):
        raise TypeError
    read = datetime.fromisoformat(value)
    return checked(round(read.timestamp() * 1e6), read.tzinfo is not None)


def whole(value: Told) -> int:
    """Return a number of nanoseconds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return checked(value, 0 <= value <= MAX_INT64)


def decimal(value: Told) -> float:
    """Return a number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return checked(float(value), math.isfinite(value) and value >= 0)


def truth(value: Told) -> bool:
    """Return a truth value."""
    if not isinstance(value, bool):
        raise TypeError
    return value


def texts(value: Told) -> str | None:
    """Return a list of texts as columns hold it."""
    if not isinstance(value, list):
        raise TypeError
    return json.dumps(value, ensure_ascii=False) if value else None


def text(value: Told) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise TypeError
    return value


def method(value: Told) -> str:
    """Return a method of HTTP."""
    name = text(value)
    return checked(name, len(name) <= MAX_METHOD and TOKEN.fullmatch(name) is not None)


def checked[T](value: T, is_right: bool) -> T:
    """Return a value; raise ValueError if it is not right."""
    if not is_right:
        raise ValueError(value)
    return value


READERS: Mapping[Kind, tuple[str, Callable[[Told], object]]] = {
    "moment": ("a time with its zone", moment),
    "whole": ("a whole number that a call can have", whole),
    "decimal": ("a number that a call can have", decimal),
    "truth": ("true or false", truth),
    "set": ("a list of texts", texts),
    "text": ("a text", text),
}
METHOD = ("a method", method)
