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

from moonpalace_addons.store.telemetry.spans import Attribute, Attributes, CallSpan

MASK = 2**64 - 1
MAX_CACHED = 100
"""Characters of a text that is kept encoded."""
CLIENT = b"\x30\x03"
HAS_REMOTE, IS_REMOTE = 0x100, 0x200
"""Flags: it is known whether the parent is of another process, and it is."""


def request(resource: Attributes, scope: tuple[str, str], spans: Iterable[bytes]) -> bytes:
    """Return a request with these spans, of a process and an instrumentation with a name and a version."""
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
        member(1, call.trace_id.to_bytes(16)),
        member(2, call.span_id.to_bytes(8)),
        parent,
        member(5, call.name.encode()),
        CLIENT,
        pack("<cQcQ", b"\x39", call.began, b"\x41", call.ended),
        *(attribute(9, *pair) for pair in call.attributes.items()),
    ]
    if call.problem is not None:
        parts.append(member(15, member(2, call.problem.encode()) + b"\x18\x02"))
    return b"".join([*parts, b"\x85\x01", pack("<I", flags)])


def attribute(field: int, name: str, value: Attribute) -> bytes:
    """Return an attribute as a member of a span or a resource."""
    if isinstance(value, str) and len(value) > MAX_CACHED:
        return fresh_attribute(field, name, value)
    return known_attribute(field, name, value)


def fresh_attribute(field: int, name: str, value: Attribute) -> bytes:
    """Return an attribute, written anew."""
    return member(field, member_of_text(1, name) + member(2, any_value(value)))


# Most values of a call are those of other calls; 1, 1.0 and True differ.
known_attribute = lru_cache(4096, typed=True)(fresh_attribute)


def any_value(value: Attribute) -> bytes:
    """Return a value of any kind."""
    if isinstance(value, str):
        return member(1, value.encode())
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value & MASK)
    if isinstance(value, float):
        return b"\x21" + pack("<d", value)
    return member(5, b"".join([member(1, any_value(each)) for each in value]))


def member(field: int, data: bytes) -> bytes:
    """Return a member that has a length."""
    return tag(field) + varint(len(data)) + data


@cache
def tag(field: int) -> bytes:
    """Return what precedes a member that has a length."""
    return varint(field << 3 | 2)


@cache
def member_of_text(field: int, text: str) -> bytes:
    """Return a member with a text of the program, of which there are few."""
    return member(field, text.encode())


def varint(number: int) -> bytes:
    """Return a number in as few bytes as it needs, seven bits in each."""
    if number < 0x80:
        return bytes((number,))
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
