"""The fields that an exported call has besides its documented metadata, so that an import loses none of them.

They have the names, types and units of `inspect --json`. Those that headers and bodies give are left out.
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
NO_FIELDS: Values = {name: None for name in CARRIED if name not in ("method", "started_at")} | {"is_coerced": False}
"""The columns of a call without these fields."""
LATER = ("response_bytes", "cost", "cost_input", "cost_cached", "cost_output")
"""Those that exports of earlier versions lack, as they lack `request_bytes`, which each call has."""
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What RFC 9110 allows as a method."""
MAX_METHOD = 40

type JSONValue = bool | int | float | str | list[str] | None


def exported_fields(call: Exchange) -> dict[str, JSONValue]:
    """Return the fields that a call has."""
    values = ((name, getattr(call, name)) for name in CARRIED)
    return {name: plain(value) for name, value in values if value is not None and value is not False and value != ()}


def plain(value: object) -> JSONValue:
    """Return a value as JSON represents it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value  # type: ignore[return-value]


def columns(fields: Mapping[str, JSONValue]) -> Values:
    """Return the columns of the fields; none if there are no fields, as in exports of earlier versions.

    Raise ValueError for a field that no call can have.
    """
    found = {name: column(name, fields[name]) for name in CARRIED if fields.get(name) is not None}
    unknown = () if "request_bytes" in found else ("request_bytes", *LATER)
    return {name: value for name, value in NO_FIELDS.items() if fields and name not in unknown} | found


def column(name: str, value: JSONValue) -> object:
    """Return the value of a column; raise ValueError for one that no call can have."""
    expected, read = METHOD if name == "method" else READERS[FIELDS[name].kind]
    try:
        return read(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"exchange.{name} is not {expected}") from None


def moment(value: JSONValue) -> int:
    """Return the microseconds since the epoch of a time with its zone."""
    if not isinstance(value, str):
        raise TypeError
    read = datetime.fromisoformat(value)
    return checked(round(read.timestamp() * 1e6), read.tzinfo is not None)


def whole(value: JSONValue) -> int:
    """Return a number of nanoseconds or bytes."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return checked(value, 0 <= value <= MAX_INT64)


def decimal(value: JSONValue) -> float:
    """Return a number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return checked(float(value), math.isfinite(value) and value >= 0)


def truth(value: JSONValue) -> bool:
    """Return a truth value."""
    if not isinstance(value, bool):
        raise TypeError
    return value


def texts(value: JSONValue) -> str | None:
    """Return a list of texts as columns hold it."""
    if not isinstance(value, list):
        raise TypeError
    return json.dumps(value, ensure_ascii=False) if value else None


def text(value: JSONValue) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise TypeError
    return value


def method(value: JSONValue) -> str:
    """Return a method of HTTP."""
    name = text(value)
    return checked(name, len(name) <= MAX_METHOD and TOKEN.fullmatch(name) is not None)


def checked[T](value: T, is_right: bool) -> T:
    """Return a value; raise ValueError if it is not right."""
    if not is_right:
        raise ValueError(value)
    return value


READERS: Mapping[Kind, tuple[str, Callable[[JSONValue], object]]] = {
    "moment": ("a time with its zone", moment),
    "whole": ("a whole number that a call can have", whole),
    "decimal": ("a number that a call can have", decimal),
    "truth": ("true or false", truth),
    "set": ("a list of texts", texts),
    "text": ("a text", text),
}
METHOD = ("a method", method)
