"""A stored call as a span: its identity, its times and its attributes, independent of OpenTelemetry."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import NamedTuple

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_addons.store.telemetry.names import ATTRIBUTES, ERROR_TYPE, Kind
from moonpalace_addons.store.telemetry.operations import Traits, traits_of
from moonpalace_addons.store.telemetry.parameters import MAX_WHOLE, Parameters
from moonpalace_addons.wire import trace_context
from moonpalace_addons.wire.trace_context import TraceContext

type Attribute = str | bool | int | float | tuple[str, ...]
type Attributes = Mapping[str, Attribute]

MAX_TEXT = 500
"""Maximum characters of a text; longer ones are cut, because clients choose the names of models."""
TRACE_ID_SIZE = 16


@dataclass(frozen=True, slots=True, eq=False)
class Common:
    """The part that the spans of calls with the same traits share; compared by identity, because it is created once."""

    name: str
    attributes: Attributes


class CallSpan(NamedTuple):
    """The span of a call; `began` and `ended` are nanoseconds since the epoch, `problem` says why it failed.

    Its ids are derived from the call, so that sending a call again gives the same span. `own` are the attributes
    besides the common ones.
    """

    common: Common
    trace_id: int
    span_id: int
    parent: TraceContext | None
    began: int
    ended: int
    own: Attributes
    problem: str | None = None

    @property
    def name(self) -> str:
        """The name of the span."""
        return self.common.name

    @property
    def attributes(self) -> Attributes:
        """All attributes."""
        return {**self.common.attributes, **self.own}


def span_of(call: Exchange, parameters: Parameters, content: Attributes | None = None) -> CallSpan | None:
    """Return the span of a call that has ended; None if the call is not an operation of a model."""
    traits = traits_of(call)
    if traits is None:
        return None
    common = common_of(traits)
    parent = trace_context.of_headers(call.request_headers)
    began = round(call.started_at.timestamp() * 1e6) * 1000  # exact, because microseconds are stored
    own = attributes_of(call, parameters)
    if content:
        own.update(content)
    return CallSpan(
        common,
        trace_id=parent.trace_id if parent else trace_id(call.uuid),
        span_id=span_id(call.uuid),
        parent=parent,
        began=began,
        ended=began + (call.latency or 0),
        own=own,
        problem=text(outcome(call).text) if ERROR_TYPE in common.attributes else None,
    )


def common_of(traits: Traits) -> Common:
    """Return the common part of calls with these traits; it is cached if the texts of servers and clients are short."""
    key = f"{traits.model_requested}{traits.model_answered}{traits.finish_reason}{traits.error_kind}"
    return known_common(traits) if len(key) <= MAX_TEXT else new_common(traits)


def new_common(traits: Traits) -> Common:
    """Return the common part of calls with these traits."""
    name = f"{traits.operation} {traits.model_requested or traits.model_answered or ''}".strip()
    attributes = {name: fit(of_traits(traits)) for name, fit, of_traits in COMMON}
    return Common(text(name), {name: value for name, value in attributes.items() if value is not None})


known_common = lru_cache(256)(new_common)


def trace_id(uuid: str) -> int:
    """Return the trace id of a call whose client sent none: the call's own uuid, if it has 16 bytes."""
    try:
        data = bytes.fromhex(uuid.replace("-", ""))
    except ValueError:  # of an imported call
        data = b""
    if len(data) != TRACE_ID_SIZE:
        data = blake2b(uuid.encode(), digest_size=TRACE_ID_SIZE).digest()
    return int.from_bytes(data) or 1


def span_id(uuid: str) -> int:
    """Return the id of a call's span; it is never 0."""
    return int.from_bytes(blake2b(uuid.encode(), digest_size=8).digest()) or 1


def attributes_of(call: Exchange, parameters: Parameters) -> dict[str, Attribute]:
    """Return the attributes of a call besides the common ones, if its values have the right kind."""
    attributes = dict[str, Attribute]()
    for (name, fit), raw in zip(STORED, COLUMNS(call), strict=True):
        if raw is not None and (value := fit(raw)) is not None:
            attributes[name] = value
    for name, fit, of_call in WORKED_OUT:
        if (raw := of_call(call)) is not None and (value := fit(raw)) is not None:
            attributes[name] = value
    for name, fit, of_request in PARAMETERS if parameters else ():
        if (raw := of_request(parameters)) is not None and (value := fit(raw)) is not None:
            attributes[name] = value
    return attributes


def text(value: str, limit: int = MAX_TEXT) -> str:
    """Return a text that UTF-8 can encode, of limited length."""
    if len(value) > limit:
        value = value[:limit]
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def as_text(value: object) -> Attribute | None:
    """Return a non-empty text, or None."""
    if not isinstance(value, str) or not value:
        return None
    return value if value.isascii() and len(value) <= MAX_TEXT else text(value)


def as_texts(value: object) -> Attribute | None:
    """Return a non-empty list of texts, or None."""
    listed = value if isinstance(value, list | tuple) else ()
    return tuple(text(each) for each in listed if isinstance(each, str)) or None


def as_whole(value: object) -> Attribute | None:
    """Return a whole number that fits into 64 bits, even if it is written as 100.0, or None."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and -MAX_WHOLE <= value <= MAX_WHOLE else None


def as_decimal(value: object) -> Attribute | None:
    """Return a finite number, or None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]


def as_truth(value: object) -> Attribute | None:
    """Return a boolean, or None."""
    return value if isinstance(value, bool) else None


KINDS: Mapping[Kind, Callable[[object], Attribute | None]] = {
    "text": as_text,
    "texts": as_texts,
    "whole": as_whole,
    "decimal": as_decimal,
    "truth": as_truth,
}
"""Converters for the values of each kind; they return None for a wrong one, because requests may contain anything."""

# A loop over prepared tuples takes half the time of one over the attributes.
STORED = tuple((name, KINDS[each.kind]) for each in ATTRIBUTES if each.field for name in each.names)
COLUMNS = attrgetter(*(each.column for each in ATTRIBUTES if each.field for _ in each.names))
WORKED_OUT = tuple((name, KINDS[each.kind], each.value) for each in ATTRIBUTES if each.value for name in each.names)
PARAMETERS = tuple(
    (name, KINDS[each.kind], each.of_request) for each in ATTRIBUTES if each.parameter for name in each.names
)
COMMON = tuple((name, KINDS[each.kind], each.common) for each in ATTRIBUTES if each.common for name in each.names)
