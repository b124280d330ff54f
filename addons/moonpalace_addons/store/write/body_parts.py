"""Cut bodies into pieces that recur when an agent resends its history.

An agent sends the whole conversation at every turn, so bodies are cut where they grow: between the elements of the
lists in a request. A piece is an element with the separator before it, or several small ones; except for the last, the
pieces of a list do not depend on what is appended to it. The pieces join to the body byte for byte.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from moonpalace_addons.wire.json_elements import Member, read_members

CUT_LISTS = ("messages", "tools", "system", "input")
"""The lists at which bodies are cut: of chat completions, Anthropic's messages and OpenAI's responses."""

MIN_CUT_SIZE = 1024
"""Bodies up to this size in bytes are not cut: the rows of pieces would cost more than they save."""

MIN_PIECE_SIZE = 256
"""Elements smaller than this are joined with those that follow, in bytes."""

OWN_PIECE_SIZE = 1024
"""Elements of this size and above, in bytes, are pieces of their own, found again whatever surrounds them."""

MAX_PIECE_SIZE = 2048
"""Maximum size of a piece in bytes. Rows much shorter than a database page waste little of it, and a text that grows is
found again up to where it has grown."""

MAX_OTHER_PIECE_SIZE = 1_000_000
"""The same for a body that is not JSON, e.g. an upload: little of it recurs, and each piece adds an id to a row."""

JSON_BEGINS = (b"{", b"[", b'"')

_CLOSING = b'}]"'
"""The last byte of elements other than numbers and literals such as `null`."""
_SHORT = b"[0"
"""The beginning of a list with one short element."""
_NAME = re.compile(f'"(?:{"|".join(CUT_LISTS)})"'.encode())

type Stretch = tuple[int, bool]
"""The end of a stretch of a body, and whether it is an element; it begins at the end of the previous one."""


@dataclass(frozen=True, slots=True)
class Cutting:
    """The cuts of a body: the ends of its pieces, and its longest list, if there is one with elements.

    `start` is the beginning of that list, `fixed` are the ends that do not depend on what is appended to it.
    """

    ends: tuple[int, ...]
    start: int = 0
    fixed: frozenset[int] = frozenset()


def cut(body: bytes) -> list[bytes]:
    """Return the pieces of a body, at least one; a body that is not JSON is cut at `MAX_OTHER_PIECE_SIZE`.

    A body that is cut at lists is UTF-8, and so are its pieces. Takes about as long as parsing the body.
    """
    if len(body) <= MIN_CUT_SIZE:
        return [body]
    ends = _short(body, [*_list_ends(body, _members(body)), len(body)])
    return [body[start:end] for start, end in pairwise([0, *ends])]


def cutting(body: bytes) -> Cutting:
    """Return the cuts that `cut` makes, with what is needed to continue from them."""
    members = _members(body)
    longest = _longest(members)
    ends = _list_ends(body, members)
    return Cutting(
        tuple(_short(body, [*ends, len(body)])),
        longest.start if longest else 0,
        _fixed(ends, 0) & _ends_of(body, longest),
    )


def continued(body: bytes, begun: Cutting, count: int) -> tuple[Cutting, bytes] | None:
    """Return the cuts of a body that shares its first `count` pieces with a previously cut body, and its outline.

    The last of these pieces has a fixed end. What precedes this end is not parsed again: in the outline, the number 0
    takes the place of the elements of the longest list that end by it. Return None if the body has to be cut again.
    """
    end, behind = begun.ends[count - 1], begun.start + len(_SHORT)
    outline = body[: begun.start] + _SHORT + body[end:]
    members = _members(outline) if end in begun.fixed else []
    known = next((member for member in members if member.start == begun.start), None)
    if known is None or not known.elements or known.elements[0] != (behind - 1, behind):
        return None
    moved = end - behind
    stretches = [(at + moved, is_element) for at, is_element in _stretches(members, len(outline)) if at > behind]
    ends = [*_piece_ends(stretches, end)]
    fixed = _fixed(ends, end) & {at + moved for at in _ends_of(outline, known)}
    whole = (*begun.ends[:count], *_short(body, [*ends, len(body)], end))
    return Cutting(whole, begun.start, begun.fixed.difference(begun.ends[count:]) | fixed), outline


def _list_ends(body: bytes, members: Iterable[Member]) -> list[int]:
    """Return the ends of the pieces of a body's lists."""
    return [*_piece_ends(_stretches(members, len(body)))] if members else []


def _members(body: bytes) -> list[Member]:
    """Return the list members at which a body is cut; empty if it is not cut at lists."""
    if _NAME.search(body) and is_utf8(body):
        return read_members(body, CUT_LISTS) or []
    return []


def _longest(members: Iterable[Member]) -> Member | None:
    lists = (member for member in members if member.elements)
    return max(lists, key=lambda member: member.end - member.start, default=None)


def _ends_of(body: bytes, member: Member | None) -> frozenset[int]:
    """Return the ends of a list's elements, except numbers and literals, which following bytes may continue."""
    elements = member.elements if member is not None else None
    return frozenset([end for _, end in elements or () if body[end - 1] in _CLOSING])


def _fixed(ends: Iterable[int], start: int) -> frozenset[int]:
    """Return the ends of pieces of sufficient size, which do not depend on what follows."""
    return frozenset([end for begin, end in pairwise([start, *ends]) if end - begin >= MIN_PIECE_SIZE])


def _short(body: bytes, ends: Iterable[int], start: int = 0) -> Iterator[int]:
    """Yield the ends, with additional ones at character boundaries where they are too far apart."""
    # Decided by the first byte, as for answers; a wrong guess only costs space.
    longest = MAX_PIECE_SIZE if body[:64].lstrip()[:1] in JSON_BEGINS else MAX_OTHER_PIECE_SIZE
    for end in ends:
        while end - start > longest:
            start += longest
            for _ in range(3):  # a character has at most three continuation bytes
                if body[start] & 0xC0 == 0x80:
                    start -= 1
            yield start
        if end > start:
            yield end
            start = end


def is_utf8(data: bytes) -> bool:
    """Return whether the bytes are valid UTF-8."""
    if data.isascii():  # avoids the copy that decoding makes
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _stretches(members: Iterable[Member], length: int) -> Iterator[Stretch]:
    """Yield the elements of the lists and the stretches between the lists."""
    for member in members:
        if member.elements is not None:
            yield member.start + 1, False
            yield from ((end, True) for _, end in member.elements)
    yield length, False


def _piece_ends(stretches: Iterable[Stretch], start: int = 0) -> Iterator[int]:
    """Yield the ends of the pieces that stretches are joined to; `start` is the end of the piece before."""
    last = start
    for end, is_element in stretches:
        if end - last >= OWN_PIECE_SIZE and last > start:
            yield last
            start = last
        # The stretch between two lists ends a piece, so that the second list's pieces do not depend on the first list.
        if end - start >= MIN_PIECE_SIZE or not (is_element or last == 0):
            yield end
            start = end
        last = end
    if last > start:
        yield last
