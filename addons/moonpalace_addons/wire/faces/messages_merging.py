"""Merge the events of a streamed message into the message that the API gives without streaming.

    message_start        the message, with an empty list of blocks
    content_block_start  a block, which is matched by `index` from then on; servers that give an index twice mean two
                         blocks, as SDKs take them
    content_block_delta  `text` and `thinking` grow, `partial_json` grows to the `input` of a tool call, a `signature`
                         replaces, a `citation` is appended; of other deltas the members grow or replace by the rules
                         of `wire/chat/pieces.py`
    message_delta        members of its `delta` and of its `usage`, which is cumulative, replace those of the message
    error                the first one, in place of a message or beside what has come of it
    anything else        other members of the events of a message are kept in it

The input of a tool call that is no JSON object, as in a stream that broke off, is kept as `partial_json`.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter

from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.pieces import Doubts, Pieces, index_of, join_text
from moonpalace_addons.wire.chat.text_matcher import TextDelta, TextRun
from moonpalace_addons.wire.json_value import mapping, parse, text_in

NOT_STARTED = "a block had no content_block_start"
NO_OBJECT = "the input of a tool call is not a JSON object, and is kept as partial_json"
NO_MESSAGE = "the message had no message_start"
SAME_INDEX = "several blocks had the same index, and are kept apart"

TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""The types of deltas that add to a text, with the name of the text."""
BLOCKS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "tool_use"} | {
    "signature_delta": "thinking",
    "citations_delta": "text",
}
"""The type of a block that was not announced, by the type of its first delta."""
MESSAGE_EVENTS = frozenset({"message_start", "message_delta", "message_stop"})
EVENTS = MESSAGE_EVENTS | {"content_block_start", "content_block_delta", "content_block_stop"}
ALWAYS = {"type": "message", "role": "assistant"}
"""Members that every message has, with their values."""
_MEMBERS = ("type", "message", "delta", "usage")


class MessageMerger:
    """Merge the events of one message; time and memory are linear in the input."""

    def __init__(self) -> None:
        self._doubts: Doubts = {}
        self._message: dict[str, object] = {}
        self._usage: dict[str, object] = {}
        self._blocks: list[tuple[int, _Block]] = []
        self._latest: dict[int, _Block] = {}
        self._has_begun = False
        self._error: ApiError | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether none of the events belonged to a message or reported an error."""
        return not self._has_begun and self._error is None

    @property
    def doubts(self) -> Sequence[str]:
        """Describe the ambiguities of the stream."""
        return list(self._doubts)

    def feed(self, value: object, error: ApiError | None = None) -> None:
        """Add the parsed JSON of one event (or its texts), and the error that it reports."""
        if isinstance(value, TextDelta | TextRun):
            texts = value.texts if isinstance(value, TextRun) else [value.text]
            self._latest[value.choice].add(value.channel, texts)
        elif error is not None and error.ends:
            self._error = self._error or error
        else:
            self._take(mapping(value))

    def _take(self, event: Mapping[str, object]) -> None:
        kind = text_in(event, "type")
        if kind not in EVENTS:
            return
        if not self._has_begun and kind != "message_start":
            self._doubts[NO_MESSAGE] = None
        self._has_begun = True
        if kind == "message_start":
            self._start(mapping(event.get("message")))
        elif kind == "content_block_delta":
            self._continued(index_of(event), mapping(event.get("delta"))).feed(mapping(event.get("delta")))
        elif kind == "content_block_start":
            self._begin(index_of(event), mapping(event.get("content_block")))
        elif kind == "message_delta":
            _replace(self._message, mapping(event.get("delta")))
            _replace(self._usage, mapping(event.get("usage")))
        if kind in MESSAGE_EVENTS:
            _replace(self._message, {name: member for name, member in event.items() if name not in _MEMBERS})

    def result(self) -> dict[str, object]:
        """Return the `message` merged so far; for an error alone, `{"type": "error", "error": …}`."""
        error = {} if self._error is None else {"error": self._error.member}
        if not self._has_begun:
            return {"type": "error", **error}
        in_order = self._blocks if SAME_INDEX in self._doubts else sorted(self._blocks, key=itemgetter(0))
        blocks = [block.result() for _, block in in_order]
        missing = {name: value for name, value in ALWAYS.items() if name not in self._message}
        merged = self._message | missing | {"content": blocks}
        return merged | ({"usage": self._usage} if self._usage else {}) | error

    def _start(self, message: Mapping[str, object]) -> None:
        _replace(self._message, message)
        _replace(self._usage, mapping(message.get("usage")))
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            self._begin(index, mapping(block))

    def _begin(self, index: int | None, block: Mapping[str, object]) -> "_Block":
        """Begin a block and return it; a block that is announced twice, before any delta, is the same block."""
        number = len(self._latest) if index is None else index
        latest = self._latest.get(number)
        if latest is not None and latest.result() == block:
            return latest
        if latest is not None:
            self._doubts[SAME_INDEX] = None
        added = self._latest[number] = _Block(self._doubts, block)
        self._blocks.append((number, added))
        return added

    def _continued(self, index: int | None, delta: Mapping[str, object]) -> "_Block":
        """Return the block that a delta continues; begin one if it was not announced."""
        block = self._latest.get(len(self._latest) - 1 if index is None else index)
        if block is None:
            self._doubts[NOT_STARTED] = None
            block = self._begin(index, {"type": BLOCKS.get(str(delta.get("type")), "text")})
        return block


class _Block:
    def __init__(self, doubts: Doubts, block: Mapping[str, object]) -> None:
        citations = block.get("citations")
        self._doubts = doubts
        self._fields = dict(block)
        self._texts = {name: [text] for name in ("text", "thinking") if isinstance(text := block.get(name), str)}
        self._citations: list[object] = list(citations) if isinstance(citations, list) else []
        self._others: Pieces | None = None

    def feed(self, delta: Mapping[str, object]) -> None:
        kind = delta.get("type")
        name = TEXTS.get(kind, "") if isinstance(kind, str) else ""
        if isinstance(text := delta.get(name), str):
            self.add(name, [text])
        elif kind == "citations_delta":
            self._citations.append(delta.get("citation"))
        elif kind == "signature_delta":
            self._fields["signature"] = delta.get("signature")
        else:
            self._others = self._others or Pieces(self._doubts, joins=True, appends=True)
            self._others.feed(delta, without=("type",))

    def add(self, name: str, texts: Sequence[str]) -> None:
        self._texts.setdefault(name, []).extend(texts)

    def result(self) -> dict[str, object]:
        texts = {name: join_text(parts) for name, parts in self._texts.items()}
        written = texts.pop("partial_json", "")
        result = {**self._fields, **texts}
        if self._citations:
            result["citations"] = self._citations
        if written:
            result |= self._input(written)
        return result | (self._others.result() if self._others is not None else {})

    def _input(self, written: str) -> dict[str, object]:
        value = parse(written)
        if isinstance(value, dict):
            return {"input": value}
        self._doubts[NO_OBJECT] = None
        return {"input": self._fields.get("input") or {}, "partial_json": written}


def _replace(current: dict[str, object], update: Mapping[str, object]) -> None:
    """Replace members by those of an update, except by null."""
    for name, value in update.items():
        if value is not None or name not in current:
            current[name] = value
