"""Match events that differ from an earlier one in a text, and in members without meaning for the answer.

The events of /v1/responses are numbered, and some have random padding:

    {"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"delta":"word ","sequence_number":7,
     "obfuscation":"kX2"}

What varies is known by the names of its members; all between must be the same, character by character.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from moonpalace_addons.wire.sse import BLANK_LINE, DATA

type Kind = Literal["text", "number", "padding"]

_PATTERNS: Mapping[Kind, re.Pattern[str]] = {
    "text": re.compile(r'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"'),
    "number": re.compile(r"(?:0|[1-9][0-9]{0,15})(?=[ ,}\]])"),
    "padding": re.compile(r'"[A-Za-z0-9_+/=-]*"'),
}
_IN_BYTES = {kind: re.compile(pattern.pattern.encode()) for kind, pattern in _PATTERNS.items()}
_ESCAPED_LETTER = "\\u"
"""Begins a letter that is spelled in another way."""
_decode_string = msgspec.json.Decoder(str).decode
_decode_strings = msgspec.json.Decoder(list[str]).decode


@dataclass(frozen=True, slots=True)
class Template:
    """The parts of an event that are always the same, and a pattern for each value between two of them.

    The value at `place` is the text.
    """

    place: int
    same: Sequence[str]
    patterns: Sequence[re.Pattern[str]]
    framed: Sequence[bytes]
    framed_patterns: Sequence[re.Pattern[bytes]]

    def read(self, data: str) -> str | None:
        """Return the text of an event, None if it differs in anything else."""
        found = _match(data, 0, self.same, self.patterns)
        if found is None or found[-1].end() + len(self.same[-1]) != len(data):
            return None
        try:
            return _decode_string(found[self.place][0])
        except ValueError:  # an escape that JSON does not have, or a lone surrogate
            return None

    def read_run(self, stream: bytes) -> tuple[list[str], int]:
        """Return the texts of the matching events at the start of the bytes, and how many bytes these have."""
        texts, size = list[bytes](), 0
        while (found := _match(stream, size, self.framed, self.framed_patterns)) is not None:
            texts.append(found[self.place][0])
            size = found[-1].end() + len(self.framed[-1])
        try:
            return _decode_strings(b"[" + b",".join(texts) + b"]"), size
        except ValueError:
            return [], 0


def _match[S: (str, bytes)](
    data: S, at: int, same: Sequence[S], patterns: Sequence[re.Pattern[S]]
) -> list[re.Match[S]] | None:
    """Return the values between the parts that are the same; None if one of these is not there."""
    found = list[re.Match[S]]()
    if not data.startswith(same[0], at):
        return None
    at += len(same[0])
    for pattern, text in zip(patterns, same[1:], strict=True):
        value = pattern.match(data, at)
        if value is None or not data.startswith(text, value.end()):
            return None
        found.append(value)
        at = value.end() + len(text)
    return found


def divide(data: str, kinds: Mapping[str, Kind]) -> tuple[list[str], list[Kind]] | None:
    """Return the parts of an event between the values of some members, and the kinds of these values, in order.

    None unless each name is there once, and none can be spelled with an escape: a value between the parts is then that
    of the member, whatever it is.
    """
    spots = sorted([spot for key, kind in kinds.items() if (spot := _spot(data, key, kind)) is not None])
    same, at = [], 0
    for start, end, _ in spots:
        same.append(data[at:start])
        at = end
    same.append(data[at:])
    if len(spots) < len(kinds) or _ESCAPED_LETTER in "".join(same):
        return None
    return same, [kind for _, _, kind in spots]


def _spot(data: str, key: str, kind: Kind) -> tuple[int, int, Kind] | None:
    """Return where the value of a member begins and ends."""
    names = [*re.finditer(rf'"{key}"\s*:\s*', data)]
    value = _PATTERNS[kind].match(data, names[0].end()) if len(names) == 1 else None
    return None if value is None else (*value.span(), kind)


def frame(same: Sequence[str], name: str) -> list[bytes]:
    """Return the parts of an event as they are in a stream, with what is before and after the data of an event."""
    framed = [text.encode() for text in same]
    framed[0] = (DATA if name == "message" else b"event: %s\n%s" % (name.encode(), DATA)) + framed[0]
    framed[-1] += BLANK_LINE
    return framed


def make_template(same: Sequence[str], kinds: Sequence[Kind], name: str) -> Template:
    """Return the template of the events with this name that have the same parts."""
    patterns = [_PATTERNS[kind] for kind in kinds], [_IN_BYTES[kind] for kind in kinds]
    return Template(kinds.index("text"), same, patterns[0], frame(same, name), patterns[1])
