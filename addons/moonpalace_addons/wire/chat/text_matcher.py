"""Match events of a stream that differ from an earlier event only in one text, without parsing them.

Nearly all events of a stream are one text, a few characters long, within some hundred bytes that never change:

    {"id":"cmpl-1","model":"kimi-k2.6","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}

The bytes before and after the text are learnt from an event that was parsed. A later event that begins and ends with
the same characters, with one JSON string between, is the same object except for that text. For several events in one
chunk a single split gives all texts, at the bytes after them, which are fewer than those between two: a long separator
takes longer to find. A name of the events, as in `event: content_block_delta`, belongs to the bytes before.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from moonpalace_addons.wire.chat.pieces import IDENTIFIER_KEYS, index_of
from moonpalace_addons.wire.chat.text_template import Kind, Template, divide, frame, make_template
from moonpalace_addons.wire.json_value import mapping

CHANNELS = ("content", "reasoning_content", "reasoning")
MAX_MISSES = 8
"""Consecutive events learnt without a match after which learning stops: every event of this stream is different."""
MAX_OTHERS = 1_000
"""Consecutive events that do not only add a text after which learning stops."""

_decode_string = msgspec.json.Decoder(str).decode
_decode_strings = msgspec.json.Decoder(list[str]).decode
# A JSON string contains no literal line end: no string can continue past this separator, so each string is one element.
_COMMA = b",\n"


NO_MEMBERS: dict[str, Kind] = {}


class OnlyText(NamedTuple):
    """The part of an answer, a channel of it, and a text; `member` is the name of the member that contains the text.

    `varying` are members of the event that vary without meaning.
    """

    part: int
    channel: str
    text: str
    member: str
    varying: dict[str, Kind] = NO_MEMBERS

    @property
    def place(self) -> tuple[int, str]:
        """Return the part and the channel."""
        return self.part, self.channel


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """The content of a matching event: one more text in a channel of a choice, or of another part of the answer."""

    choice: int
    channel: str
    text: str


class TextRun(msgspec.Struct, frozen=True, gc=False):
    """The content of consecutive matching events; `size` counts their bytes."""

    choice: int
    channel: str
    texts: list[str]
    size: int


class TextEventMatcher:
    """Remember the latest event that only adds a text. A match gives exactly what parsing would give.

    `only_text` returns the part, the channel and the text of an event that only adds one, and None for others.
    """

    def __init__(self, only_text: Callable[[object], OnlyText | None]) -> None:
        self.name = "message"
        self._only_text = only_text
        self._choice, self._channel = 0, ""
        self._head, self._tail = "\0", ""  # matches nothing until an event is learnt
        self._before = self._behind = b"\0"  # the same as bytes, with the framing of an event
        self._template: Template | None = None
        self._misses = self._others = 0

    def read(self, data: str) -> TextDelta | None:
        """Return the text that an event adds if it matches the learnt one; None for others, which have to be parsed."""
        head, tail = self._head, self._tail
        if self._template is not None:
            return self._read_template(self._template, data)
        if not (data.startswith(head) and data.endswith(tail)):
            return None
        try:
            text = _decode_string(data[len(head) : len(data) - len(tail)])
        except ValueError:  # not exactly one string, or a lone surrogate
            return None
        self._misses = 0
        return TextDelta(self._choice, self._channel, text)

    def read_run(self, stream: bytes) -> TextRun | None:
        """Return the texts of the events at the start of the bytes, if all up to the last one match."""
        before, behind = self._before, self._behind
        if self._template is not None:
            found, size = self._template.read_run(stream)
            return TextRun(self._choice, self._channel, found, size) if found else None
        if not stream.startswith(before):
            return None
        start = len(before)
        end = stream.rfind(behind, start)
        events = stream[:end].split(behind) if end >= 0 else []
        strings = [event[start:] for event in events if event.startswith(before)]
        whole = _COMMA.join(strings)
        if not strings or len(strings) < len(events) or b"\r" in whole or whole.count(b"\n") != len(strings) - 1:
            return None
        try:
            texts = _decode_strings(b"[" + whole + b"]")
        except ValueError:
            return None
        if len(texts) != len(strings):
            return None
        self._misses = 0
        return TextRun(self._choice, self._channel, texts, end + len(behind))

    def learn(self, data: str, value: object, name: str = "message") -> None:
        """Learn a parsed event with this name as the one to compare with, if it only adds a text."""
        if self._misses >= MAX_MISSES or self._others >= MAX_OTHERS:
            return
        self._others += 1
        if (found := self._only_text(value)) is None:
            return
        self._misses += 1
        self._others = 0
        divided = divide(data, found.varying | {found.member: "text"})
        if divided is None:
            return
        self.name, (self._choice, self._channel) = name, found.place
        if found.varying:
            self._template = make_template(*divided, name)
        else:
            self._template, (self._head, self._tail) = None, divided[0]
            self._before, self._behind = frame(divided[0], name)

    def _read_template(self, template: Template, data: str) -> TextDelta | None:
        text = template.read(data)
        if text is None:
            return None
        self._misses = 0
        return TextDelta(self._choice, self._channel, text)


def only_text(chunk: object) -> OnlyText | None:
    """Return choice, channel and text of a chat chunk whose other members may be repeated without effect."""
    fields = mapping(chunk)
    choices = fields.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not has_only(fields, "choices"):
        return None
    choice = mapping(choices[0])
    delta = mapping(choice.get("delta"))
    texts = [(name, text) for name in CHANNELS if isinstance(text := delta.get(name), str)]
    if len(texts) != 1 or not has_only(choice, "index", "delta") or not has_only(delta, texts[0][0]):
        return None
    return OnlyText(index_of(choice) or 0, *texts[0], texts[0][0])


def has_only(fields: Mapping[str, object], *names: str) -> bool:
    """Tell whether an object has nothing but these members and identifiers, which repeat."""
    others = [name for name, value in fields.items() if value and name not in names and name not in IDENTIFIER_KEYS]
    return not others
