"""Ask for a stream in the bytes of a request, and change nothing else in them.

Key order, white space, number formats, duplicate keys and escapes stay as the client wrote them: the body is not parsed
and written again, but a few bytes are put in at the right places.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

# What matters for finding the end of a value: strings as a whole, and brackets. Possessive, so that nothing backtracks.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]', re.DOTALL)
_KEY = re.compile(rb'[\s,]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*+:\s*+', re.DOTALL)
_SCALAR = re.compile(rb"[^\s,}\]]++")
_OPENING = b"{["


@dataclass(frozen=True, slots=True)
class _Member:
    key: str
    start: int
    end: int


def ask_for_stream(body: bytes) -> bytes | None:
    """Return the body with `stream: true` and `stream_options.include_usage: true`; None where it is to be left alone.

    That is: a body that is no JSON object in UTF-8, one whose `stream` is there and not false, and one whose
    `stream_options` is there and neither an object nor null.
    """
    parsed = _parsed(body)
    if parsed is None or parsed.get("stream", False) is not False:
        return None
    with_usage = _ask_for_usage(body, parsed)
    return None if with_usage is None else _set(with_usage, 0, "stream", b"true")


def ask_for_usage(body: bytes) -> bytes | None:
    """Return the body of a streaming request with `stream_options.include_usage: true`; None where that is not needed.

    That is: where it is there already, and whatever `ask_for_stream` would leave alone.
    """
    parsed = _parsed(body)
    if parsed is None or parsed.get("stream") is not True:
        return None
    changed = _ask_for_usage(body, parsed)
    return None if changed == body else changed


def _parsed(body: bytes) -> dict[str, object] | None:
    try:
        parsed: object = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _ask_for_usage(body: bytes, parsed: dict[str, object]) -> bytes | None:
    options = parsed.get("stream_options")
    if options is None:
        return _set(body, 0, "stream_options", b'{"include_usage":true}')
    if not isinstance(options, dict):
        return None
    if options.get("include_usage") is True:
        return body
    # Of several, parsers take the last; so does `parsed`.
    place = [member for member in _members(body, 0) if member.key == "stream_options"][-1]
    return _set(body, place.start, "include_usage", b"true")


def _set(body: bytes, at: int, key: str, value: bytes) -> bytes:
    """Return the body with a member of the object that begins at or after `at` set, in place or as the last one."""
    members = list(_members(body, at))
    present = [member for member in members if member.key == key]
    if present:
        for member in reversed(present):
            body = body[: member.start] + value + body[member.end :]
        return body
    new = json.dumps(key).encode() + b":" + value
    if members:
        return body[: members[-1].end] + b"," + new + body[members[-1].end :]
    brace = body.index(b"{", at) + 1
    return body[:brace] + new + body[brace:]


def _members(body: bytes, at: int) -> Iterator[_Member]:
    """Iterate over the members of the object that begins at or after `at`, in valid JSON."""
    position = body.index(b"{", at) + 1
    while key := _KEY.match(body, position):
        start = key.end()
        end = _end_of_value(body, start)
        yield _Member(str(json.loads(key[1])), start, end)
        position = end


def _end_of_value(body: bytes, start: int) -> int:
    if body[start] not in _OPENING + b'"':
        scalar = _SCALAR.match(body, start)
        return scalar.end() if scalar else start
    depth = 0
    for token in _TOKEN.finditer(body, start):
        if token[0] in (b"{", b"["):
            depth += 1
        elif token[0] in (b"}", b"]"):
            depth -= 1
        if depth == 0:
            return token.end()
    return len(body)
