"""Recognise the events of a chat stream that differ from an earlier one in their text alone, without parsing them.

Nearly all events of a stream are one text, a few characters long, within some hundred bytes that never change:

    {"id":"cmpl-1","model":"kimi-k2.6","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}

What stands before and behind the text is learnt from an event that was parsed. A later event that begins and ends
with the same characters, with one JSON string between, is the same object but for that text. Of events that came
together one split gives the texts, since what stands between these is always the same.
"""

import re
from collections.abc import Mapping

import msgspec

from moonpalace_addons.wire.chat.pieces import IDENTIFIER_KEYS, index_of
from moonpalace_addons.wire.json_value import mapping, parse
from moonpalace_addons.wire.sse import BLANK_LINE, DATA

CHANNELS = ("content", "reasoning_content", "reasoning")
MAX_MISSES = 8
"""Events in a row that were learnt in vain, after which nothing more is learnt: in this stream each is different."""
_STRING = re.compile(r'\s*("(?:[^"\\]|\\.)*")', re.DOTALL)
_PROBE = "probe"

_decode_string = msgspec.json.Decoder(str).decode
_decode_strings = msgspec.json.Decoder(list[str]).decode
# No string of JSON holds a line end as it is: none can go on behind this one, so that as many strings are one each.
_COMMA = b",\n"


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """What an event says that is like an earlier one: one more text in a channel of a choice."""

    choice: int
    channel: str
    text: str


class TextRun(msgspec.Struct, frozen=True, gc=False):
    """What events in a row say that are all like an earlier one; `size` counts their bytes."""

    choice: int
    channel: str
    texts: list[str]
    size: int


class TextEventMatcher:
    """Know the latest event with nothing but a text to add. What it says of an event is what parsing would say."""

    def __init__(self) -> None:
        self._choice, self._channel = 0, ""
        self._head, self._tail = "\0", ""  # like nothing, until there is something to be like
        self._before = self._behind = b"\0"  # the same in bytes, with what makes them an event
        self._misses = 0

    def read(self, data: str) -> TextDelta | None:
        """Return what an event adds, if it is like the one learnt; None for all others, which are to be parsed."""
        head, tail = self._head, self._tail
        if not (data.startswith(head) and data.endswith(tail)):
            return None
        try:
            text = _decode_string(data[len(head) : len(data) - len(tail)])
        except ValueError:  # more than a string, less than one, or half a surrogate pair
            return None
        self._misses = 0
        return TextDelta(self._choice, self._channel, text)

    def read_run(self, stream: bytes) -> TextRun | None:
        """Return what the events at the beginning of these bytes add, if all are like the one learnt up to the last."""
        before, behind = self._before, self._behind
        if not stream.startswith(before):
            return None
        end = stream.rfind(behind, len(before))
        strings = stream[len(before) : end].split(behind + before) if end >= 0 else []
        whole = _COMMA.join(strings)
        if not strings or b"\r" in whole or whole.count(b"\n") != len(strings) - 1:
            return None
        try:
            texts = _decode_strings(b"[" + whole + b"]")
        except ValueError:
            return None
        if len(texts) != len(strings):
            return None
        self._misses = 0
        return TextRun(self._choice, self._channel, texts, end + len(behind))

    def learn(self, data: str, chunk: object) -> None:
        """Take an event that has been parsed as the one to compare with, if it has nothing but a text to add."""
        if self._misses >= MAX_MISSES or (found := _only_text(chunk)) is None:
            return
        self._misses += 1
        choice, channel, _ = found
        mark = f'"{channel}":'
        string = _STRING.match(data, data.index(mark) + len(mark)) if data.count(mark) == 1 else None
        if string is None:
            return
        head, tail = data[: string.start(1)], data[string.end(1) :]
        if _only_text(parse(f'{head}"{_PROBE}"{tail}')) == (choice, channel, _PROBE):
            self._choice, self._channel, self._head, self._tail = choice, channel, head, tail
            self._before, self._behind = DATA + head.encode(), tail.encode() + BLANK_LINE


def _only_text(chunk: object) -> tuple[int, str, str] | None:
    """Return choice, channel and text of a chunk that, but for its text, says only what may be said again."""
    fields = mapping(chunk)
    choices = fields.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not _has_only(fields, "choices"):
        return None
    choice = mapping(choices[0])
    delta = mapping(choice.get("delta"))
    texts = [(name, text) for name in CHANNELS if isinstance(text := delta.get(name), str)]
    if len(texts) != 1 or not _has_only(choice, "index", "delta") or not _has_only(delta, texts[0][0]):
        return None
    return (index_of(choice) or 0, *texts[0])


def _has_only(fields: Mapping[str, object], *names: str) -> bool:
    return not any(value for name, value in fields.items() if name not in names and name not in IDENTIFIER_KEYS)
