"""Write spans in the protobuf of OTLP.

    ExportTraceServiceRequest  1 ResourceSpans  (1 Resource (1 attribute …), 2 ScopeSpans (1 scope, 2 Span …))
    Span                       1 trace id, 2 span id, 3 trace state, 4 parent id, 5 name, 6 kind, 7 start, 8 end,
                               9 attribute …, 15 status (2 message, 3 code), 16 flags
    attribute                  1 name, 2 value (1 text, 2 truth, 3 whole, 4 decimal, 5 list (1 value …))

OpenTelemetry's own encoder, which makes an object of each attribute and each value, takes ten times as long: more than
storing the call. https://github.com/open-telemetry/opentelemetry-proto
"""

from collections.abc import Iterable
from functools import cache, lru_cache
from struct import pack

from moonpalace_addons.store.telemetry.spans import Attribute, Attributes, CallSpan, Common

MASK = 2**64 - 1
CLIENT = b"\x30\x03"
HAS_REMOTE, IS_REMOTE = 0x100, 0x200
"""Flags: it is known whether the parent is in another process, and it is."""


def request(resource: Attributes, scope: tuple[str, str], spans: Iterable[bytes]) -> bytes:
    """Return a request with these spans; resource and scope describe the process and the instrumentation."""
    name, version = (part.encode() for part in scope)
    scoped = member(1, member(1, name) + member(2, version)) + b"".join([member(2, span) for span in spans])
    process = b"".join([attribute(1, *pair) for pair in resource.items()])
    return member(1, member(1, process) + member(2, scoped))


def span(call: CallSpan) -> bytes:
    """Return the span of a call."""
    flags, parent = HAS_REMOTE, b""
    if call.parent is not None:
        flags |= IS_REMOTE
        state = call.parent.state.encode("utf-8", "replace")
        parent = (member(3, state) if state else b"") + member(4, call.parent.span_id.to_bytes(8))
    parts = [
        b"\x0a\x10" + call.trace_id.to_bytes(16) + b"\x12\x08" + call.span_id.to_bytes(8),
        parent,
        member(5, call.name.encode()),
        CLIENT,
        pack("<cQcQ", b"\x39", call.began, b"\x41", call.ended),
        common_attributes(call.common),
        *[attribute(9, name, value) for name, value in call.own.items()],
    ]
    if call.problem is not None:
        parts.append(member(15, member(2, call.problem.encode()) + b"\x18\x02"))
    return b"".join([*parts, b"\x85\x01", pack("<I", flags)])


@lru_cache(256)
def common_attributes(common: Common) -> bytes:
    """Return the attributes that spans have in common."""
    return b"".join([attribute(9, name, value) for name, value in common.attributes.items()])


def attribute(field: int, name: str, value: Attribute) -> bytes:
    """Return an attribute as a field of a span or a resource."""
    if type(value) is str:
        data = value.encode()
        return head_of_text(field, name, len(data)) + data
    data = any_value(value)
    return head(field, name, len(data)) + data


@lru_cache(4096)
def head(field: int, name: str, size: int) -> bytes:
    """Return the bytes that precede the value of an attribute, which has `size` bytes."""
    inner = member(1, name.encode()) + tag(2) + varint(size)
    return tag(field) + varint(len(inner) + size) + inner


@lru_cache(4096)
def head_of_text(field: int, name: str, size: int) -> bytes:
    """Return the bytes that precede the UTF-8 of an attribute's text."""
    lead = tag(1) + varint(size)
    return head(field, name, len(lead) + size) + lead


def any_value(value: Attribute) -> bytes:
    """Return a value of any kind."""
    if isinstance(value, int):
        return b"\x18" + varint(value & MASK) if type(value) is int else b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, float):
        return b"\x21" + pack("<d", value)
    if isinstance(value, str):
        return member(1, value.encode())
    return member(5, b"".join([member(1, any_value(each)) for each in value]))


def member(field: int, data: bytes) -> bytes:
    """Return a length-delimited field."""
    return tag(field) + varint(len(data)) + data


@cache
def tag(field: int) -> bytes:
    """Return the tag of a length-delimited field."""
    return varint(field << 3 | 2)


def varint(number: int) -> bytes:
    """Return a number as a varint: seven bits in each byte."""
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:  # true for most token counts
        return bytes((number & 0x7F | 0x80, number >> 7))
    result = bytearray()
    while number >= 0x80:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)
