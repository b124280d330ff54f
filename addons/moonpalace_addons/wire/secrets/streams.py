"""Find secrets in a stream: a credential that a model repeats is cut across many deltas.

Strings that a client would join are searched together: those of the same name in events with the same indexes. This
needs no knowledge of a dialect and no parsing: strings are located in the bytes, where they are masked.
"""

import itertools
import re
import string
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from moonpalace_addons.wire.chat.pieces import IDENTIFIER_KEYS
from moonpalace_addons.wire.secrets import assignments, bodies, patterns
from moonpalace_addons.wire.secrets.bodies import OWN_CREDENTIAL
from moonpalace_addons.wire.secrets.patterns import LOOKAHEAD, Finding
from moonpalace_addons.wire.secrets.values import KnownCredentials, Span

_STRING = rb'"([^"\\]*(?:\\.[^"\\]*)*)"'
_MEMBER = re.compile(rb'"(\w{1,60})"\s?:\s?(?:' + _STRING + rb"|([0-9]{1,9})(?![0-9.eE]))", re.DOTALL)
_BLANK_LINE = re.compile(rb"\n\r?\n|\r\r")
_MIN_GAP = 4
"""Minimum bytes between two members of different events."""
_CONSTANT = frozenset(name.encode() for name in {*IDENTIFIER_KEYS, "finish_reason", "event", "service_tier"} - {"name"})
_INDEX = b"index"
_MAX_ROW_LENGTH = 600
"""Maximum bytes of a row that may still grow to a credential; longer rows are images or the like."""
_ROW = (string.ascii_letters + string.digits + "_.+=:~%-/").encode()
_BETWEEN_WORDS = re.compile(rb"[./+=:~%\\]")
_MARKS = tuple(sorted({*(mark.encode() for _, mark, _ in patterns.FORMS), patterns.KEY_HEAD}))
_KINDS = tuple(map(re.compile, (rb"[a-z]", rb"[A-Z]", rb"[0-9]")))
"""Minimum number of character kinds in a key without a prefix."""

_SAMPLE = 64 * 1024
_MIN_ENVELOPE = 20

type Series = tuple[bytes, int, tuple[bytes, ...]]


@dataclass(slots=True)
class _Text:
    """A text in pieces.

    `bounds` are the start and end of each piece in the stream, packed because there may be millions.
    """

    bounds: "array[int]" = field(default_factory=lambda: array("q"))

    @property
    def pieces(self) -> Iterator[Span]:
        """Iterate over the spans of the pieces."""
        return itertools.batched(self.bounds, 2)  # type: ignore[return-value] # all of them are pairs

    def joined(self, data: bytes) -> bytes:
        whole = bytearray()  # a list of all pieces would take ten times the memory of tiny ones
        for start, end in self.pieces:
            whole += data[start:end]
        return bytes(whole)

    def places(self, start: int, end: int) -> Iterator[Span]:
        """Yield the spans in the stream that a part of the joined text covers."""
        offset = 0
        for first, last in self.pieces:
            size = last - first
            if offset < end and offset + size > start:
                yield first + max(0, start - offset), first + min(size, end - offset)
            offset += size


def find(data: bytes, known: KnownCredentials) -> list[Finding]:
    """Return the secrets in a stream that are not split, in order and without overlaps."""
    begin, envelope = _envelope(data)
    if not envelope:
        return bodies.find(data, known)
    first = bodies.find(data[:begin], known)
    if first:  # perhaps in the envelope, and so in each event
        return bodies.find(data, known)
    # Searching the same ID and model in each event would cost more than everything else.
    return bodies.find(data.replace(envelope, b" " * len(envelope)), known)


def find_split(data: bytes, known: KnownCredentials) -> list[Finding]:
    """Return the spans of the pieces of split secrets, in order and without overlaps."""
    return patterns.without_overlaps(finding for text in _split(data) for finding in _in_text(text, data, known))


def safe_length(data: bytes, known: KnownCredentials, *, in_events: bool = True) -> int:
    """Return how many bytes of an unfinished answer contain no secret, nor the start of one, that may still grow."""
    end = len(data) - _open(data, known)
    for text in _texts(data) if in_events else ():
        joined = text.joined(data)
        if held := _open(joined, known):
            place = next(text.places(len(joined) - held, len(joined)))[0]
            before = data.rfind(b"\n\n", 0, place)
            end = min(end, before + 2 if before >= 0 else 0)
    return end


def strings(data: bytes) -> Iterator[Span]:
    """Yield the spans of strings in a stream that are pieces of a text."""
    for text in _split(data):
        yield from text.pieces


def _open(text: bytes, known: KnownCredentials) -> int:
    """Return how many bytes at the end of a text may be a credential that still grows."""
    formed = _open_row(text)
    if formed and any(end == len(text) for _, end in known.spans(text, max(0, len(text) - LOOKAHEAD))):
        formed = 0
    end = len(text) - max(known.begun(text), formed, patterns.open_key(text), assignments.begun(text))
    # A complete credential that could also be the start of another is not cut.
    cut = (start for start, stop in known.spans(text, max(0, end - LOOKAHEAD), end) if start < end < stop)
    return len(text) - min(cut, default=end)


def _open_row(text: bytes) -> int:
    """Return the length of the row at the end of a text if it may be a credential, or the beginning of one."""
    tail = text[-_MAX_ROW_LENGTH:]
    start = len(tail.rstrip(_ROW))
    while tail[start - 1 : start + 1] == rb"\/":  # as JSON may have it
        start = len(tail[: start - 1].rstrip(_ROW))
    if start == len(tail) or (start == 0 and len(tail) == _MAX_ROW_LENGTH):
        return 0
    if tail[start - 1 : start] == b"\\":  # the row begins with the rest of an escape
        start += 5 if tail[start : start + 1] == b"u" else 1
    row = tail[start:]
    words = _BETWEEN_WORDS.split(row)
    is_marked = any(word.startswith(_MARKS) for word in words)
    is_begun = bool(words[-1]) and any(mark.startswith(words[-1]) for mark in _MARKS)
    is_address = any(mark in row for mark in patterns.ADDRESSES)  # which may have a password in it
    return len(row) if is_marked or is_begun or is_address or all(kind.search(row) for kind in _KINDS) else 0


def _in_text(text: _Text, data: bytes, known: KnownCredentials) -> Iterator[Finding]:
    joined = text.joined(data)
    known_findings = [Finding(OWN_CREDENTIAL, *span) for span in known.spans(joined)]
    for finding in [*known_findings, *patterns.find_in(joined)]:
        places = list(text.places(finding.start, finding.end))
        if len(places) > 1:
            yield from (Finding(finding.kind, *place) for place in places)


def _split(data: bytes) -> list[_Text]:
    """Return the texts of a stream that arrive in several pieces."""
    return [text for text in _texts(data) if len(text.bounds) > 2]


def _texts(data: bytes) -> list[_Text]:
    """Return the texts of a stream."""
    texts: dict[Series, _Text] = {}
    event: list[tuple[bytes, Span]] = []
    indexes: list[bytes] = []
    end, has_returns = 0, b"\r" in data
    # Search for members, not events: there may be millions of tiny events without any.
    for match in _MEMBER.finditer(data):
        name, start = match[1], match.start()
        if start - end >= _MIN_GAP and (
            _BLANK_LINE.search(data, end, start) if has_returns else data.find(b"\n\n", end, start) >= 0
        ):
            _take(texts, event, tuple(indexes))
            event, indexes = [], []
        end = match.end()
        if match[3] is not None:
            if name.endswith(_INDEX):
                indexes.append(match[3])
        elif name not in _CONSTANT and match[2]:
            event.append((name, match.span(2)))
    _take(texts, event, tuple(indexes))
    return [*texts.values()]


def _take(texts: dict[Series, _Text], event: list[tuple[bytes, Span]], indexes: tuple[bytes, ...]) -> None:
    seen: dict[bytes, int] = {}
    for name, span in event:
        # The tokens of log probabilities form one text, however many an event has.
        number = 0 if name == b"token" else seen.get(name, 0)
        seen[name] = number + 1
        texts.setdefault((name, number, indexes), _Text()).bounds.extend(span)


def _common_length(one: bytes, other: bytes) -> int:
    """Return how many bytes two texts begin with alike; as numbers they are compared at once."""
    length = min(len(one), len(other))
    differing = int.from_bytes(one[:length]) ^ int.from_bytes(other[:length])
    return length - (differing.bit_length() + 7) // 8


def _envelope(data: bytes) -> tuple[int, bytes]:
    """Return the common prefix of events, if it is long enough, and the end of the first two events that have it."""
    events = data[:_SAMPLE].split(b"\n\n", 3)
    if len(events) <= 3:
        return 0, b""
    alike = events[1][: _common_length(events[1], events[2])]
    # Keep the name of the last member: its value varies.
    alike = alike[: max(alike.rfind(b'{"'), alike.rfind(b',"'), 0)]
    begin = len(events[0]) + 2 + len(events[1])
    return (begin, alike) if len(alike) > _MIN_ENVELOPE else (0, b"")
