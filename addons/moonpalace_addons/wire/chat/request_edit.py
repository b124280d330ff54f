"""Ask for a stream in the bytes of a request, and change nothing else.

Key order, whitespace, number formats, duplicate keys and escapes stay as the client wrote them: the body is not parsed
and serialized again; a few bytes are inserted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from moonpalace_addons.wire.json_elements import Member, read_members, read_value

_USAGE = b'{"include_usage":true}'
_LISTS = ("messages", "tools")  # the elements are not used, but a body is read faster if they are located
_UNREADABLE = object()


def ask_for_stream(body: bytes, *, with_usage: bool = True) -> bytes | None:
    """Return the body with `stream: true` and `stream_options.include_usage: true`; None if it must not be changed.

    The options stay as they are unless `with_usage`: some endpoints always give usage, and reject them. The body must
    not be changed if the body is not a JSON object in UTF-8, if `stream` is present and neither false nor null, or if
    `stream_options` is present and neither an object nor null. The body is read once.
    """
    members = _members(body)
    if members is None:
        return None
    asked = _value(body, members, "stream")
    if not (asked is None or asked is False):  # 0 is neither
        return None
    edits = _usage_edits(body, members) if with_usage else []
    return None if edits is None else _edited(body, members, [*edits, *_edits(members, "stream", b"true")])


def ask_for_usage(body: bytes) -> bytes | None:
    """Return the body of a streaming request with `stream_options.include_usage: true`; None if not needed.

    It is not needed if the option is set already, and the body must not be changed in the cases that `ask_for_stream`
    lists.
    """
    members = _members(body)
    if members is None or _value(body, members, "stream") is not True:
        return None
    edits = _usage_edits(body, members)
    return _edited(body, members, edits) if edits else None


@dataclass(frozen=True, slots=True)
class _Edit:
    """Replace body[start:end] by `new`; without a position, add it as the last member."""

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
    """Return a member's value, None if it is missing, `_UNREADABLE` if it cannot be read.

    Of repeated keys the last one counts, as it does for parsers.
    """
    place = next((member for member in reversed(members) if member.key == key), None)
    if place is None:
        return None
    value = read_value(body, (place.start, place.end))
    return _UNREADABLE if value is None and body[place.start : place.end] != b"null" else value


def _edits(members: Sequence[Member], key: str, new: bytes) -> list[_Edit]:
    """Return the edits that set a member: all its occurrences, else a new one at the end."""
    present = [_Edit(new, member.start, member.end) for member in members if member.key == key]
    return present or [_Edit(b'"%s":%s' % (key.encode(), new))]


def _usage_edits(body: bytes, members: Sequence[Member]) -> list[_Edit] | None:
    """Return the edits that ask for usage: none if it is asked for already, None if the options are invalid."""
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
    """Return an object with the edits applied."""
    added = b",".join(edit.new for edit in edits if edit.start < 0)
    placed = [edit for edit in edits if edit.start >= 0]
    if added:
        at = members[-1].end if members else body.index(b"{") + 1
        placed.append(_Edit((b"," if members else b"") + added, at, at))
    for edit in sorted(placed, key=lambda edit: edit.start, reverse=True):
        body = body[: edit.start] + edit.new + body[edit.end :]
    return body
