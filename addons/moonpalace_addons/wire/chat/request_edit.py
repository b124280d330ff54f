"""Ask for a stream in the bytes of a request, and change nothing else in them.

Key order, white space, number formats, duplicate keys and escapes stay as the client wrote them: the body is not parsed
and written again, but a few bytes are put in at the right places.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from moonpalace_addons.wire.json_elements import Member, read_members, read_value

_USAGE = b'{"include_usage":true}'
_LISTS = ("messages", "tools")  # their elements are of no use here, but looked for they are read faster
_UNREADABLE = object()


def ask_for_stream(body: bytes) -> bytes | None:
    """Return the body with `stream: true` and `stream_options.include_usage: true`; None where it is to be left alone.

    That is: a body that is no JSON object in UTF-8, one whose `stream` is there and neither false nor null, and one
    whose `stream_options` is there and neither an object nor null. The body is read once.
    """
    members = _members(body)
    if members is None:
        return None
    asked = _value(body, members, "stream")
    if not (asked is None or asked is False):  # 0 is neither
        return None
    edits = _usage_edits(body, members)
    return None if edits is None else _edited(body, members, [*edits, *_edits(members, "stream", b"true")])


def ask_for_usage(body: bytes) -> bytes | None:
    """Return the body of a streaming request with `stream_options.include_usage: true`; None where that is not needed.

    That is: where it is there already, and whatever `ask_for_stream` would leave alone.
    """
    members = _members(body)
    if members is None or _value(body, members, "stream") is not True:
        return None
    edits = _usage_edits(body, members)
    return _edited(body, members, edits) if edits else None


@dataclass(frozen=True, slots=True)
class _Edit:
    """Put `new` in the place of body[start:end]; without a place, add it as the last member."""

    new: bytes
    start: int = -1
    end: int = -1


def _members(body: bytes) -> list[Member] | None:
    try:
        body.decode()
    except UnicodeDecodeError:
        return None
    return read_members(body, _LISTS)


def _value(body: bytes, members: Sequence[Member], key: str) -> object:
    """Return a member's value, None if there is none, `_UNREADABLE` if it cannot be read.

    Of several with one key it is that of the last, as parsers do.
    """
    place = next((member for member in reversed(members) if member.key == key), None)
    if place is None:
        return None
    value = read_value(body, (place.start, place.end))
    return _UNREADABLE if value is None and body[place.start : place.end] != b"null" else value


def _edits(members: Sequence[Member], key: str, new: bytes) -> list[_Edit]:
    """Return what sets a member: all places where it stands, else a new one at the end."""
    present = [_Edit(new, member.start, member.end) for member in members if member.key == key]
    return present or [_Edit(b'"%s":%s' % (key.encode(), new))]


def _usage_edits(body: bytes, members: Sequence[Member]) -> list[_Edit] | None:
    """Return what asks for usage: nothing if that is asked already, None if the options are odd."""
    options = _value(body, members, "stream_options")
    if options is None:
        return _edits(members, "stream_options", _USAGE)
    if not isinstance(options, dict):
        return None
    if options.get("include_usage") is True:
        return []
    place = next(member for member in reversed(members) if member.key == "stream_options")
    within = body[place.start : place.end]
    inner = read_members(within) or []
    return [_Edit(_edited(within, inner, _edits(inner, "include_usage", b"true")), place.start, place.end)]


def _edited(body: bytes, members: Sequence[Member], edits: Sequence[_Edit]) -> bytes:
    """Return an object with edits made in it."""
    added = b",".join(edit.new for edit in edits if edit.start < 0)
    placed = [edit for edit in edits if edit.start >= 0]
    if added:
        at = members[-1].end if members else body.index(b"{") + 1
        placed.append(_Edit((b"," if members else b"") + added, at, at))
    for edit in sorted(placed, key=lambda edit: edit.start, reverse=True):
        body = body[: edit.start] + edit.new + body[edit.end :]
    return body
