"""Chat completions: `messages`, and `choices` with a `message`, or with deltas in a stream that `[DONE]` ends."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import override

from moonpalace_addons.wire.chat.api_error import ERROR_REASONS
from moonpalace_addons.wire.chat.completion import choices, finish_reason, is_chat_completion, truncation_warning
from moonpalace_addons.wire.chat.deviations import NO_DONE, deviations
from moonpalace_addons.wire.chat.merging import DONE, Merger, is_chat_chunk
from moonpalace_addons.wire.chat.pieces import TEXT_KEYS, index_of
from moonpalace_addons.wire.chat.request_edit import ask_for_stream, ask_for_usage
from moonpalace_addons.wire.chat.text_matcher import OnlyText, TextDelta, only_text
from moonpalace_addons.wire.chat.tool_calls import Router
from moonpalace_addons.wire.faces.face import REPEAT, Channel, Channels, Edited, Face, Fields
from moonpalace_addons.wire.faces.progress import Progress
from moonpalace_addons.wire.faces.turns import content_parts
from moonpalace_addons.wire.json_value import mapping, text_in

TEXTS = {"reasoning_content": "reasoning", "reasoning": "reasoning", "content": "content", "refusal": "refusal"}
"""Members of a delta that are texts, and their kinds."""
VISIBLE = ("content", "refusal", "audio", "images")
REASONING = ("reasoning_content", "reasoning")
_OTHER_REASONING = ("reasoning_details", "thinking")
_PART_TEXTS = ("text", "summary", "thinking")
JOINED = TEXT_KEYS | {"role"}
"""Members of a delta whose texts are joined."""
_CALL = ("name", "arguments", "input")
_TOP = ("id", "object", "created", "model", "system_fingerprint")


class ChatCompletions(Face):
    """`/v1/chat/completions`."""

    name = "chat.completions"
    paths = ("/chat/completions",)
    part = "choice"
    is_streamed = True
    no_end = NO_DONE
    has_context_caches = True

    @override
    def ask_for_stream(self, body: bytes) -> Edited | None:
        changed = ask_for_stream(body)
        return None if changed is None else Edited(changed, "stream and stream_options.include_usage set to true")

    @override
    def ask_for_usage(self, body: bytes) -> Edited | None:
        changed = ask_for_usage(body)
        return None if changed is None else Edited(changed, "stream_options.include_usage set to true")

    @override
    def owns(self, value: Fields) -> bool:
        return is_chat_chunk(value)

    @override
    def make_merger(self) -> Merger:
        return Merger()

    @override
    def joins(self, value: Fields) -> bool:
        deltas = (mapping(choice.get("delta")) for choice in choices(value))
        members = (item for delta in deltas for item in delta.items())
        return "type" not in value and not any(isinstance(text, str) and name not in JOINED for name, text in members)

    @override
    def make_progress(self) -> Progress:
        return ChatProgress()

    @override
    def make_channels(self) -> Channels:
        return ChatChannels()

    @override
    def token_channel(self, value: object) -> Channel | None:
        if isinstance(value, TextDelta):
            return ("visible" if value.channel in VISIBLE else "reasoning") if value.text else None
        deltas = [mapping(choice.get("delta")) or mapping(choice.get("message")) for choice in choices(mapping(value))]
        if any((_has_any(delta, VISIBLE) and not _is_thinking(delta)) or _has_call(delta) for delta in deltas):
            return "visible"
        others = (*REASONING, *_OTHER_REASONING, "content")
        return "reasoning" if any(_has_any(delta, others) for delta in deltas) else None

    @override
    def only_text(self, value: object) -> OnlyText | None:
        return only_text(value)

    @override
    def write_events(self, values: Iterable[object]) -> bytes:
        lines = [json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values]
        return "".join(f"data: {line}\n\n" for line in [*lines, DONE]).encode("utf-8", "replace")

    @override
    def event_parts(self, value: Fields) -> Iterator[tuple[str, str]]:
        for choice in choices(value):
            yield from choice_parts(choice)

    @override
    def answer_id(self, answer: Fields) -> str | None:
        return text_in(answer, "id") if choices(answer) else None

    @override
    def finish_reason(self, answer: Fields) -> str | None:
        return finish_reason(answer)

    @override
    def finish_reasons(self, answer: Fields) -> list[str]:
        return [reason for choice in choices(answer) if (reason := text_in(choice, "finish_reason"))]

    @override
    def warnings(self, request: Fields, answer: Fields, *, streamed: bool) -> Iterator[str]:
        if warning := truncation_warning(request, answer, streamed=streamed):
            yield warning
        if is_chat_completion(answer):
            yield from deviations(answer, tool_choice=request.get("tool_choice"))


class ChatProgress(Progress):
    """Which choices of a stream are open, and the members that its chunks have in common."""

    def __init__(self) -> None:
        super().__init__()
        self.top: dict[str, object] = {}
        self._finished: dict[int, bool] = {}
        self._has_usage = False

    @property
    @override
    def is_whole(self) -> bool:
        """Return whether `[DONE]` or a finish reason for every choice has come."""
        return self.is_done or (bool(self._finished) and all(self._finished.values()))

    @property
    @override
    def is_complete(self) -> bool:
        return self.is_whole and (self.is_done or self._has_usage)

    @override
    def read(self, value: Fields) -> None:
        self._has_usage = self._has_usage or bool(value.get("usage"))
        for name in _TOP:
            if name in value and not self.top.get(name):
                self.top[name] = value[name]
        for position, choice in enumerate(choices(value)):
            number = number_of(choice, position)
            self._has_usage = self._has_usage or bool(choice.get("usage"))
            self._finished[number] = self._finished.get(number, False) or bool(choice.get("finish_reason"))
            self.has_content = self.has_content or _has_content(choice)

    @override
    def ending(self) -> list[object]:
        """Return a chunk with a finish reason for each open choice."""
        return [self.final_chunk(number) for number, finished in sorted(self._finished.items()) if not finished]

    def final_chunk(self, choice: int) -> dict[str, object]:
        """Return the chunk that ends a choice because of a loop."""
        return {**self.top, "choices": [{"index": choice, "delta": {}, "finish_reason": REPEAT}]}


class ChatChannels:
    """The texts of the deltas of a stream, by choice.

    Channels are `content`, `reasoning_content`, `reasoning`, the parts of these by type, those of `reasoning_details`
    if nothing else has the reasoning, `function_call.arguments` and, for each tool call,
    `tool_calls.N.function.arguments` or `tool_calls.N.custom.input`, where N is the call's index, else its ID, else its
    number among the calls of the choice.
    """

    def __init__(self) -> None:
        self._routers: dict[int, Router] = {}

    def texts(self, value: object) -> Iterator[tuple[int, str, str]]:
        """Yield the choice, its channel and a piece of text for each piece in a chunk; none is empty."""
        for position, choice in enumerate(choices(mapping(value))):
            number, delta = number_of(choice, position), mapping(choice.get("delta"))
            for channel, text in self._channels(number, delta) if delta else ():
                if isinstance(text, str) and text:
                    yield number, channel, text

    def _channels(self, choice: int, delta: Mapping[str, object]) -> Iterator[tuple[str, object]]:
        for name in ("content", *REASONING):
            text = delta.get(name)
            yield from _texts_of_parts(name, text) if isinstance(text, list) else ((name, text),)
        if "reasoning_details" in delta and not any(delta.get(name) for name in REASONING):  # which have the same text
            yield from _texts_of_parts("reasoning_details", delta["reasoning_details"])
        yield "function_call.arguments", mapping(delta.get("function_call")).get("arguments")
        pieces = delta.get("tool_calls")
        if not isinstance(pieces, list):
            return
        router = self._routers.setdefault(choice, Router())
        for _, piece, call in router.route(pieces):
            yield f"tool_calls.{call.label}.{piece.place}", piece.text


def _texts_of_parts(channel: str, parts: object, *, is_inner: bool = False) -> Iterator[tuple[str, object]]:
    """Yield the texts of a list of parts, by type and index; a thinking part contains another list."""
    for part in map(mapping, parts if isinstance(parts, list) else ()):
        kind = part.get("type")
        name = ".".join(str(item) for item in (channel, kind, part.get("index")) if item is not None)
        inner = part.get(kind) if isinstance(kind, str) else None
        if isinstance(inner, list) and not is_inner:
            yield from _texts_of_parts(name, inner, is_inner=True)
        else:
            yield name, next((text for key in _PART_TEXTS if isinstance(text := part.get(key), str)), None)


def number_of(choice: Mapping[str, object], position: int) -> int:
    """Return the index of a choice, or else its position."""
    index = index_of(choice)
    return position if index is None else index


def _has_content(choice: Mapping[str, object]) -> bool:
    delta = mapping(choice.get("delta")) or mapping(choice.get("message"))
    has_text = any(value for name, value in delta.items() if name != "role")
    return has_text or bool(choice.get("text")) or choice.get("finish_reason") not in (None, "", *ERROR_REASONS)


def _has_any(fields: Mapping[str, object], names: tuple[str, ...]) -> bool:
    return any(isinstance(text := fields.get(name), str | list | dict) and text for name in names)


def _is_thinking(delta: Mapping[str, object]) -> bool:
    """Return whether the content is a list of parts that are all reasoning."""
    content = delta.get("content")
    return isinstance(content, list) and all(mapping(part).get("type") == "thinking" for part in content)


def _has_call(delta: Mapping[str, object]) -> bool:
    if "tool_calls" not in delta and "function_call" not in delta:  # a shortcut for most chunks of a stream
        return False
    calls = delta.get("tool_calls")
    called = [mapping(call) for call in (calls if isinstance(calls, list) else ())]
    bodies = [mapping(call.get("function")) or mapping(call.get("custom")) for call in called]
    return any(_has_any(body, _CALL) for body in (*bodies, mapping(delta.get("function_call"))))


CHAT_COMPLETIONS = ChatCompletions()


def choice_parts(choice: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield kind and text of each part; those of other choices than the first are marked with their index."""
    index = choice.get("index")
    mark = f"[{index}] " if isinstance(index, int) and index else ""
    delta = mapping(choice.get("delta")) or mapping(choice.get("message")) or {"content": choice.get("text")}
    found = list(_delta_parts(delta))
    if not found and isinstance(delta.get("role"), str):
        found.append(("role", str(delta["role"])))
    if isinstance(choice.get("finish_reason"), str):
        found.append(("finish", str(choice["finish_reason"])))
    for kind, text in found:
        yield kind, mark + text


def _delta_parts(delta: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, kind in TEXTS.items():
        if text := text_in(delta, name):
            yield kind, text
    content, calls = delta.get("content"), delta.get("tool_calls")
    for part in content_parts(content) if isinstance(content, list) else ():
        yield "content" if part.kind == "text" else part.kind, str(part.content)
    for call in map(mapping, calls if isinstance(calls, list) else ()):
        yield "tool call", _call_text(call)


def _call_text(call: Mapping[str, object]) -> str:
    """Return a piece of a tool call: its name, if present, and its arguments."""
    function = mapping(call.get("function")) or mapping(call.get("custom"))
    name, arguments = function.get("name"), function.get("arguments", function.get("input"))
    return (f"{name}(" if isinstance(name, str) and name else "") + (arguments if isinstance(arguments, str) else "")
