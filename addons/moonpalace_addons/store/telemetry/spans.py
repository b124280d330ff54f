"""A stored call as a span: its identity, its times and its attributes, before OpenTelemetry sees it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from operator import attrgetter
from uuid import UUID

from moonpalace_addons.store.fields import Exchange
from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_addons.store.telemetry import names, operations
from moonpalace_addons.store.telemetry.asked import MAX_WHOLE, Asked
from moonpalace_addons.store.telemetry.names import ATTRIBUTES, ERROR_TYPE, Kind
from moonpalace_addons.wire import trace_context
from moonpalace_addons.wire.trace_context import TraceContext

STORED = tuple(each for each in ATTRIBUTES if each.column)
COLUMNS = attrgetter(*(str(each.column) for each in STORED))
"""Gets the values of all stored attributes at once, which takes a tenth of the time."""
ASKED = tuple(each for each in ATTRIBUTES if each.asked)
WORKED_OUT = tuple(each for each in ATTRIBUTES if not (each.column or each.asked))

type Attribute = str | bool | int | float | tuple[str, ...]
type Attributes = Mapping[str, Attribute]

MAX_TEXT = 500
"""Characters of a text; longer ones are cut, as the names of models come from clients."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CallSpan:
    """The span of a call; `began` and `ended` are nanoseconds since the epoch, `problem` says why it failed.

    Its ids follow from the call, so that sending a call again gives the same span.
    """

    name: str
    trace_id: int
    span_id: int
    parent: TraceContext | None
    began: int
    ended: int
    attributes: Attributes
    problem: str | None = None


def span_of(call: Exchange, asked: Asked, content: Attributes | None = None) -> CallSpan | None:
    """Return the span of a call that has ended, None if the call asked no model for anything."""
    operation = operations.operation(call)
    if operation is None:
        return None
    parent = trace_context.of_headers(call.request_headers)
    began = (call.started_at - EPOCH) // timedelta(microseconds=1) * 1000
    attributes = attributes_of(call, asked)
    return CallSpan(
        name=text(f"{operation} {call.model_requested or call.model_answered or ''}".strip()),
        trace_id=parent.trace_id if parent else trace_id(call.uuid),
        span_id=span_id(call.uuid),
        parent=parent,
        began=began,
        ended=began + (call.latency or 0),
        attributes={**attributes, **(content or {})},
        problem=text(outcome(call).text) if ERROR_TYPE in attributes else None,
    )


def trace_id(uuid: str) -> int:
    """Return the id of the trace of a call whose client has none: that of the call, if it is one of 16 bytes."""
    try:
        return UUID(uuid).int or 1
    except ValueError:  # of an imported call
        return int.from_bytes(blake2b(uuid.encode(), digest_size=16).digest()) or 1


def span_id(uuid: str) -> int:
    """Return the id of the span of a call, which is never 0."""
    return int.from_bytes(blake2b(uuid.encode(), digest_size=8).digest()) or 1


def attributes_of(call: Exchange, asked: Asked) -> dict[str, Attribute]:
    """Return the attributes of a call that have a value of their kind."""
    found = dict[str, Attribute]()
    for each, told in zip(STORED, COLUMNS(call), strict=True):
        if told is not None:
            put(found, each, told)
    for each in WORKED_OUT:
        if (told := each.of(call, asked)) is not None:
            put(found, each, told)
    for each in ASKED if asked else ():
        if (told := each.of(call, asked)) is not None:
            put(found, each, told)
    return found


def put(found: dict[str, Attribute], each: names.Attribute, told: object) -> None:
    """Add a value if it is of the attribute's kind."""
    if (value := KINDS[each.kind](told)) is not None:
        found[each.name] = value
        for name in each.also:
            found[name] = value


def text(value: str, limit: int = MAX_TEXT) -> str:
    """Return a text that UTF-8 can encode, of limited length."""
    if len(value) > limit:
        value = value[:limit]
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def as_text(value: object) -> Attribute | None:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value:
        return None
    return value if value.isascii() and len(value) <= MAX_TEXT else text(value)


def as_texts(value: object) -> Attribute | None:
    """Return texts, of which there is at least one."""
    listed = value if isinstance(value, list | tuple) else ()
    return tuple(text(each) for each in listed if isinstance(each, str)) or None


def as_whole(value: object) -> Attribute | None:
    """Return a whole number that fits 64 bits, also one that is written as 100.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and -MAX_WHOLE <= value <= MAX_WHOLE else None


def as_decimal(value: object) -> Attribute | None:
    """Return a finite number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]


def as_truth(value: object) -> Attribute | None:
    """Return a truth value."""
    return value if isinstance(value, bool) else None


KINDS: Mapping[Kind, Callable[[object], Attribute | None]] = {
    "text": as_text,
    "texts": as_texts,
    "whole": as_whole,
    "decimal": as_decimal,
    "truth": as_truth,
}
"""How values of each kind are made fit, None for those that are not of it: requests can say anything."""
