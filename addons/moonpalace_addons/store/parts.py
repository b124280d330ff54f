"""Cut a body into pieces that come again when an agent resends its history.

An agent sends all that was said at every turn, so bodies are cut where they grow: between the elements of the lists
that make up a request. A piece is an element with the separator before it, or several small ones; the pieces of a
list do not depend on what is appended to it, but for the last. Joined, the pieces are the body, byte for byte.
"""

from collections.abc import Iterable, Iterator
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

_NAMES = tuple(f'"{name}"'.encode() for name in LISTS)

type Stretch = tuple[int, bool]
"""Where a stretch of a body ends, and whether it is an element; each begins where the one before it ends."""


def cut(body: bytes) -> list[bytes]:
    """Return the pieces of a body, at least one; whatever is no JSON is cut at `LONGEST_OTHER`.

    A body that is cut is UTF-8, and so is each of its pieces. Takes about as long as parsing the body.
    """
    if len(body) <= WHOLE:
        return [body]
    ends = [*_list_ends(body), len(body)]
    # Decided by the first byte, as an answer's form is: all that such a body loses if it is no JSON is room.
    longest = LONGEST if body[:64].lstrip()[:1] in JSON_BEGINS else LONGEST_OTHER
    return [body[start:end] for start, end in pairwise([0, *_short(body, ends, longest)])]


def _list_ends(body: bytes) -> Iterator[int]:
    """Iterate over the places where the lists in a body are cut."""
    if any(name in body for name in _NAMES) and is_utf8(body):
        members = read_members(body, LISTS)
        if members is not None:
            yield from _piece_ends(_stretches(members, len(body)))


def _short(body: bytes, ends: Iterable[int], longest: int) -> Iterator[int]:
    """Iterate over the ends with more of them between those that are far apart, at the boundaries of characters."""
    start = 0
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


def _piece_ends(stretches: Iterable[Stretch]) -> Iterator[int]:
    """Iterate over the ends of the pieces that the stretches are put together to."""
    start = last = 0
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
