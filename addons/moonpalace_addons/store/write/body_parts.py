"""Cut a body into pieces that come again when an agent resends its history.

An agent sends all that was said at every turn, so bodies are cut where they grow: between the elements of the lists
that make up a request. A piece is an element with the separator before it, or several small ones; the pieces of a
list do not depend on what is appended to it, but for the last. Joined, the pieces are the body, byte for byte.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from moonpalace_addons.wire.json_elements import Member, read_members

LISTS = ("messages", "tools", "system", "input")
"""The lists that are cut: of chat completions, of Anthropic's messages, and of OpenAI's responses."""

WHOLE = 1024
"""Bytes below which a body is not cut: the rows of its pieces would cost more than they save."""

SMALL = 256
"""Bytes below which elements are put together with those that follow."""

LARGE = 1024
"""Bytes from which an element is a piece of its own, so that it is found again whatever stands around it."""

LONGEST = 2048
"""Bytes of the longest piece. Rows much shorter than a page of the database leave little of it empty, and a text that
grows by itself is found again up to where it has grown."""

LONGEST_OTHER = 1_000_000
"""The same of a body that is no JSON, such as an upload: little of it comes again, and each piece is an id in a row."""

JSON_BEGINS = (b"{", b"[", b'"')

_CLOSING = b'}]"'
"""What the last byte of an element is unless it is a number, or a word such as `null`."""
_NAMES = tuple(f'"{name}"'.encode() for name in LISTS)

type Stretch = tuple[int, bool]
"""Where a stretch of a body ends, and whether it is an element; each begins where the one before it ends."""


@dataclass(frozen=True, slots=True)
class Cutting:
    """Where a body is cut: the ends of its pieces, and its longest list, if it has one with elements.

    `start` is where that list begins, `fixed` are the ends that stay where they are whatever follows in it.
    """

    ends: tuple[int, ...]
    start: int = 0
    fixed: frozenset[int] = frozenset()


def cut(body: bytes) -> list[bytes]:
    """Return the pieces of a body, at least one; whatever is no JSON is cut at `LONGEST_OTHER`.

    A body that is cut is UTF-8, and so is each of its pieces. Takes about as long as parsing the body.
    """
    if len(body) <= WHOLE:
        return [body]
    ends = _short(body, [*_list_ends(body, _members(body)), len(body)])
    return [body[start:end] for start, end in pairwise([0, *ends])]


def cutting(body: bytes) -> Cutting:
    """Return where `cut` cuts a body, and what is needed to go on from there."""
    members = _members(body)
    longest = _longest(members)
    ends = _list_ends(body, members)
    return Cutting(
        tuple(_short(body, [*ends, len(body)])),
        longest.start if longest else 0,
        _fixed(ends, 0) & _ends_of(body, longest),
    )


def continued(body: bytes, begun: Cutting, end: int) -> Cutting | None:
    """Return where a body is cut that up to `end` is a body which was cut before; None if it has to be cut anew.

    `end` is one of those that are fixed. What stands before it is not read again: the rest is read behind a list with
    one short element in its place.
    """
    behind = begun.start + len(b"[0")
    rest = body[: begun.start] + b"[0" + body[end:]
    members = _members(rest) if end in begun.fixed else []
    known = next((member for member in members if member.start == begun.start), None)
    if known is None or not known.elements or known.elements[0] != (behind - 1, behind):
        return None
    moved = end - behind
    stretches = [(at + moved, is_element) for at, is_element in _stretches(members, len(rest)) if at > behind]
    ends = [*_piece_ends(stretches, end)]
    fixed = _fixed(ends, end) & {at + moved for at in _ends_of(rest, known)}
    return Cutting(
        tuple(_short(body, [*ends, len(body)], end)), begun.start, fixed.union([at for at in begun.fixed if at <= end])
    )


def _list_ends(body: bytes, members: Iterable[Member]) -> list[int]:
    """Return the places where the lists of a body are cut."""
    return [*_piece_ends(_stretches(members, len(body)))] if members else []


def _members(body: bytes) -> list[Member]:
    """Return the members of a body that is to be cut at its lists, of another one none."""
    if any(name in body for name in _NAMES) and is_utf8(body):
        return read_members(body, LISTS) or []
    return []


def _longest(members: Iterable[Member]) -> Member | None:
    lists = (member for member in members if member.elements)
    return max(lists, key=lambda member: member.end - member.start, default=None)


def _ends_of(body: bytes, member: Member | None) -> frozenset[int]:
    """Return the ends of a list's elements, but for numbers and the like, which what follows may continue."""
    elements = member.elements if member is not None else None
    return frozenset([end for _, end in elements or () if body[end - 1] in _CLOSING])


def _fixed(ends: Iterable[int], start: int) -> frozenset[int]:
    """Return the ends of pieces that are long enough for themselves: whatever follows, they end there."""
    return frozenset([end for begin, end in pairwise([start, *ends]) if end - begin >= SMALL])


def _short(body: bytes, ends: Iterable[int], start: int = 0) -> Iterator[int]:
    """Iterate over the ends with more of them between those that are far apart, at the boundaries of characters."""
    # Decided by the first byte, as an answer's form is: all that such a body loses if it is no JSON is room.
    longest = LONGEST if body[:64].lstrip()[:1] in JSON_BEGINS else LONGEST_OTHER
    for end in ends:
        while end - start > longest:
            start += longest
            for _ in range(3):  # the longest character has three such bytes
                if body[start] & 0xC0 == 0x80:
                    start -= 1
            yield start
        if end > start:
            yield end
            start = end


def is_utf8(data: bytes) -> bool:
    """Tell whether the bytes are valid UTF-8."""
    if data.isascii():  # without the copy that decoding makes
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _stretches(members: Iterable[Member], length: int) -> Iterator[Stretch]:
    """Iterate over the elements of the lists and what stands between the lists."""
    for member in members:
        if member.elements is not None:
            yield member.start + 1, False
            yield from ((end, True) for _, end in member.elements)
    yield length, False


def _piece_ends(stretches: Iterable[Stretch], start: int = 0) -> Iterator[int]:
    """Iterate over the ends of the pieces that the stretches are put together to; `start` is the end of one, too."""
    last = start
    for end, is_element in stretches:
        if end - last >= LARGE and last > start:
            yield last
            start = last
        # What stands between two lists ends a piece: where the second begins must not depend on how the first ends.
        if end - start >= SMALL or not (is_element or last == 0):
            yield end
            start = end
        last = end
    if last > start:
        yield last
