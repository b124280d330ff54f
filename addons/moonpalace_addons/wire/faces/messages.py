"""Anthropic's messages: `system` and `messages` with blocks of content, and a `message` as the answer.

An answer that MoonPalace ends because of a loop ends as Anthropic's own do: every open block is closed, and a
`message_delta` with `stop_reason` "end_turn" and a `message_stop` follow. "end_turn" because the type of `stop_reason`
is closed in some clients, and because those that go by it run no tool then; `stop_sequence` marks it. The input of an
open tool call stays incomplete, as where the API's own `max_tokens` cuts one off.
"""

from collections.abc import Iterator
from typing import override

from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.completion import truncated
from moonpalace_addons.wire.chat.pieces import index_of
from moonpalace_addons.wire.chat.request_edit import ask_for_stream
from moonpalace_addons.wire.chat.text_matcher import OnlyText, TextDelta, has_only
from moonpalace_addons.wire.faces.face import REPEAT, Channel, Channels, Edited, Face, Fields, Merger, named_part
from moonpalace_addons.wire.faces.messages_merging import BLOCKS, EVENTS, MessageMerger
from moonpalace_addons.wire.faces.progress import Progress
from moonpalace_addons.wire.json_value import mapping, text_in

MARK = "moonpalace:repeat"
"""The `stop_sequence` of a message that was ended because of a loop."""
TYPES = EVENTS | {"message"}
"""The types of answers and of the events of their streams."""
WHOLE = EVENTS - {"content_block_delta"} | {"ping", "error"}
"""The types of events that never continue a text."""
DELTAS = {"text": "text_delta", "thinking": "thinking_delta", "partial_json": "input_json_delta"}
"""The members of deltas that contain text, each with the type of its delta."""

_KINDS = {"text": "content", "thinking": "reasoning", "partial_json": "tool call"}
"""The kinds of these texts, in words for people."""


class Messages(Face):
    """`/anthropic/v1/messages` and `/v1/messages`."""

    name = "messages"
    paths = ("/v1/messages", "/anthropic/messages")
    error_paths = ("/anthropic/", "/v1/messages/")
    part = "block"
    is_streamed = True
    no_end = "the stream ended without message_stop: clients that wait for it report an answer that broke off"

    @override
    def ask_for_stream(self, body: bytes) -> Edited | None:
        changed = ask_for_stream(body, with_usage=False)
        return None if changed is None else Edited(changed, "stream set to true")

    @override
    def owns(self, value: Fields) -> bool:
        return text_in(value, "type") in TYPES

    @override
    def make_merger(self) -> Merger:
        return MessageMerger()

    @override
    def joins(self, value: Fields) -> bool:
        kind = text_in(value, "type")
        return kind in WHOLE or (
            kind == "content_block_delta" and text_in(mapping(value.get("delta")), "type") in BLOCKS
        )

    @override
    def make_progress(self) -> Progress:
        return MessageProgress()

    @override
    def make_channels(self) -> Channels:
        return MessageChannels()

    @override
    def token_channel(self, value: object) -> Channel | None:
        if isinstance(value, TextDelta):
            return ("reasoning" if value.channel == "thinking" else "visible") if value.text else None
        event = mapping(value)
        if event.get("type") == "content_block_start":
            return "visible" if text_in(mapping(event.get("content_block")), "name") else None
        channels = [channel for _, channel, _ in texts(event)]
        if not channels:
            return None
        return "reasoning" if channels == ["thinking"] else "visible"

    @override
    def only_text(self, value: object) -> OnlyText | None:
        event = mapping(value)
        delta = mapping(event.get("delta"))
        pieces = [*texts(event)]
        if len(pieces) != 1 or not has_only(event, "index", "delta") or not has_only(delta, pieces[0][1]):
            return None
        return OnlyText(*pieces[0], pieces[0][1]) if DELTAS[pieces[0][1]] == delta.get("type") else None

    @override
    def event_parts(self, value: Fields) -> Iterator[tuple[str, str]]:
        delta = mapping(value.get("delta"))
        content = [(kind, text) for name, kind in _KINDS.items() if isinstance(text := delta.get(name), str)]
        if content:
            yield from content
        elif reason := text_in(delta, "stop_reason"):
            yield "finish", reason
        elif value.get("type") == "message_stop":
            yield "done", ""
        else:
            yield from named_part(value, "content_block")

    @override
    def answer_id(self, answer: Fields) -> str | None:
        message = mapping(answer.get("message")) if answer.get("type") == "message_start" else answer
        return text_in(message, "id") if message.get("type") == "message" else None

    @override
    def finish_reason(self, answer: Fields) -> str | None:
        return REPEAT if answer.get("stop_sequence") == MARK else text_in(answer, "stop_reason")

    @override
    def error_answer(self, error: ApiError) -> Fields:
        return {"type": "error", "error": error.member}

    @override
    def warnings(self, request: Fields, answer: Fields, *, streamed: bool) -> Iterator[str]:
        reason = answer.get("stop_reason")
        if answer.get("type") == "message" and "error" not in answer and reason in (None, "", "max_tokens"):
            yield truncated(request, answer, at_limit=bool(reason), streamed=streamed)
        yield from _deviations(answer)


class MessageProgress(Progress):
    """Which blocks of a message are open, and its latest usage."""

    def __init__(self) -> None:
        super().__init__()
        self._open: set[int] = set()
        self._has_reason = False
        self._usage: dict[str, object] = {}

    @property
    @override
    def is_whole(self) -> bool:
        """Return whether `message_stop`, or a stop reason after the last block, has arrived."""
        return self.is_done or (self._has_reason and not self._open)

    @property
    @override
    def is_complete(self) -> bool:
        return self.is_whole

    @override
    def read(self, value: Fields) -> None:
        kind, index = value.get("type"), index_of(value)
        if kind == "message_start":
            self._usage |= mapping(mapping(value.get("message")).get("usage"))
        elif kind == "content_block_stop":
            self._open.discard(-1 if index is None else index)
        elif kind in ("content_block_start", "content_block_delta"):
            self.has_content = True
            if index is not None:
                self._open.add(index)
        elif kind == "message_delta":
            self.has_content = True
            self._has_reason = self._has_reason or bool(mapping(value.get("delta")).get("stop_reason"))
            self._usage |= mapping(value.get("usage"))
        self.is_done = self.is_done or kind == "message_stop"

    @override
    def ending(self) -> list[object]:
        """Return the events that close the open blocks and the message, with the latest token counts of the API."""
        tokens = self._usage.get("output_tokens")
        return [
            *({"type": "content_block_stop", "index": index} for index in sorted(self._open)),
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": MARK},
                "usage": {"output_tokens": tokens if isinstance(tokens, int) else 0},
            },
            {"type": "message_stop"},
        ]


class MessageChannels:
    """The texts of the blocks of a message: `text`, `thinking`, and `partial_json`, the input of a tool."""

    def texts(self, value: object) -> Iterator[tuple[int, str, str]]:
        """Yield the block, its channel and a piece of text for each piece in an event; pieces are never empty."""
        return texts(mapping(value))


def texts(event: Fields) -> Iterator[tuple[int, str, str]]:
    """Yield the block, its channel and a piece of text for each piece in an event, given as an object."""
    if event.get("type") != "content_block_delta":
        return
    delta = mapping(event.get("delta"))
    for member in DELTAS:
        if text := text_in(delta, member):
            yield index_of(event) or 0, member, text


def _deviations(answer: Fields) -> Iterator[str]:
    """Describe the parts of a message that the API does not allow: what, where, and how clients treat them."""
    content, reason = answer.get("content"), answer.get("stop_reason")
    blocks = [mapping(block) for block in (content if isinstance(content, list) else ())]
    tools = [place for place, block in enumerate(blocks) if block.get("type") == "tool_use"]
    for place in tools:
        if not blocks[place].get("id"):
            yield f"content[{place}] has no id: clients cannot say in the next request which call a result belongs to"
    if tools and reason == "end_turn" and answer.get("stop_sequence") != MARK:
        yield 'stop_reason is "end_turn" beside tool_use: clients that go by the reason do not run the tools'
    if reason == "tool_use" and not tools:
        yield 'stop_reason is "tool_use" without a tool_use block: clients that go by the reason have none to run'


MESSAGES = Messages()
