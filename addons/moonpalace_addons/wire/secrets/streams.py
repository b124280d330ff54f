"""Find the secrets in a stream that come in pieces: a credential that a model repeats is cut over many deltas.

The strings that a client would join are looked at together: those of the same name in events with the same indexes.
This needs no knowledge of any dialect, and no parsing: the strings are found in the bytes, where they are masked.
"""

import re
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
"""Bytes between two members of which the first is the last of its event, at least."""
_CONSTANT = frozenset(name.encode() for name in {*IDENTIFIER_KEYS, "finish_reason", "event", "service_tier"} - {"name"})
_INDEX = b"index"
_MAX_ROW_LENGTH = 600
_OPEN_ROW = re.compile(rb"[A-Za-z0-9_.-]+\Z")
_MARKS = tuple(sorted({mark.encode() for _, mark, _ in patterns.FORMS if len(mark) > 2}))

_SAMPLE = 64 * 1024
_MIN_ENVELOPE = 20

type Series = tuple[bytes, int, tuple[bytes, ...]]


@dataclass(slots=True)
class _Text:
    """A text in pieces: where each stands in the stream."""

    pieces: list[Span] = field(default_factory=list)

    def joined(self, data: bytes) -> bytes:
        return b"".join([data[start:end] for start, end in self.pieces])

    def places(self, start: int, end: int) -> Iterator[Span]:
        """Give where a stretch of the joined text stands in the stream."""
        offset = 0
        for first, last in self.pieces:
            size = last - first
            if offset < end and offset + size > start:
                yield first + max(0, start - offset), first + min(size, end - offset)
            offset += size


def find(data: bytes, known: KnownCredentials) -> list[Finding]:
    """Return the secrets in a stream that are not in pieces, in order and apart."""
    begin, envelope = _envelope(data)
    if not envelope:
        return bodies.find(data, known)
    # To look at the same id and model again with each event would cost more than all the rest.
    without = bodies.find(data.replace(envelope, b" " * len(envelope)), known)
    return patterns.without_overlaps(iter([*bodies.find(data[:begin], known), *without]))


def find_split(data: bytes, known: KnownCredentials) -> list[Finding]:
    """Return where the pieces stand of those secrets that come in several, in order and apart."""
    return patterns.without_overlaps(finding for text in _texts(data) for finding in _in_text(text, data, known))


def safe_length(data: bytes, known: KnownCredentials, *, in_events: bool = True) -> int:
    """Return how many bytes of an answer that goes on hold no secret, nor its beginning, that may become longer."""
    end = len(data) - _open(data, known)
    for text in _texts(data) if in_events else ():
        joined = text.joined(data)
        if held := _open(joined, known):
            place = next(text.places(len(joined) - held, len(joined)))[0]
            before = data.rfind(b"\n\n", 0, place)
            end = min(end, before + 2 if before >= 0 else 0)
    return end


def strings(data: bytes) -> Iterator[Span]:
    """Give where the strings of a stream stand that are pieces of a text."""
    for text in _texts(data):
        yield from text.pieces


def _open(text: bytes, known: KnownCredentials) -> int:
    row = _OPEN_ROW.search(text[-_MAX_ROW_LENGTH:])
    formed = 0
    if row is not None and (row[0].startswith(_MARKS) or any(word.startswith(_MARKS) for word in row[0].split(b"."))):
        is_known = any(end == len(text) for _, end in known.spans(text, max(0, len(text) - LOOKAHEAD)))
        formed = 0 if is_known else len(row[0])
    end = len(text) - max(known.begun(text), formed, assignments.begun(text))
    # What is whole, and could still be the beginning of itself once more, is not cut there.
    cut = (start for start, stop in known.spans(text, max(0, end - LOOKAHEAD), end) if start < end < stop)
    return len(text) - min(cut, default=end)


def _in_text(text: _Text, data: bytes, known: KnownCredentials) -> Iterator[Finding]:
    joined = text.joined(data)
    found = [Finding(OWN_CREDENTIAL, *span) for span in known.spans(joined)]
    for finding in [*found, *patterns.find_in(joined)]:
        places = list(text.places(finding.start, finding.end))
        if len(places) > 1:
            yield from (Finding(finding.kind, *place) for place in places)


def _texts(data: bytes) -> list[_Text]:
    """Return the texts of a stream that come in several pieces."""
    texts: dict[Series, _Text] = {}
    event: list[tuple[bytes, Span]] = []
    indexes: list[bytes] = []
    end, has_returns = 0, b"\r" in data
    # Members are looked for, not events: of tiny ones without any there may be millions.
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
    return [text for text in texts.values() if len(text.pieces) > 1]


def _take(texts: dict[Series, _Text], event: list[tuple[bytes, Span]], indexes: tuple[bytes, ...]) -> None:
    seen: dict[bytes, int] = {}
    for name, span in event:
        # The tokens of log probabilities are one text, however many an event has.
        number = 0 if name == b"token" else seen.get(name, 0)
        seen[name] = number + 1
        texts.setdefault((name, number, indexes), _Text()).pieces.append(span)


def _envelope(data: bytes) -> tuple[int, bytes]:
    """Return what all events begin with, if that is worthwhile, and where the first two end that have it."""
    events = data[:_SAMPLE].split(b"\n\n", 3)
    if len(events) <= 3:
        return 0, b""
    alike = events[1][
        : next((at for at, pair in enumerate(zip(events[1], events[2], strict=False)) if pair[0] != pair[1]), 0)
    ]
    # The name of the last member stays: its value is another one each time.
    alike = alike[: max(alike.rfind(b'{"'), alike.rfind(b',"'), 0)]
    begin = len(events[0]) + 2 + len(events[1])
    return (begin, alike) if len(alike) > _MIN_ENVELOPE else (0, b"")
