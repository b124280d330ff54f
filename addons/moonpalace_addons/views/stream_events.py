"""Describe the content of an event, for all three endpoints of the API.

/v1/chat/completions      chunks with `choices` and deltas, the end marked by [DONE]
/anthropic/v1/messages    `type` message_start, content_block_delta, message_delta …
/v1/responses             `type` response.output_text.delta, response.completed …
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.chat.completion import choices
from moonpalace_addons.wire.faces.turns import content_parts
from moonpalace_addons.wire.json_value import mapping
from moonpalace_addons.wire.sse import Event
from moonpalace_addons.wire.usage import of_answer

DONE = "[DONE]"
TEXTS = {"reasoning_content": "reasoning", "reasoning": "reasoning", "content": "content", "refusal": "refusal"}
"""Fields of a delta that contain text, and their names in the output."""
BLOCK_TEXTS = {"text": "content", "thinking": "reasoning", "partial_json": "tool call"}
"""The same of a delta of /messages."""
ENDINGS = {
    "output_text.delta": "content",
    "refusal.delta": "refusal",
    "arguments.delta": "tool call",
    "tool_call_input.delta": "tool call",
    "_call_code.delta": "tool call",
    "reasoning_text.delta": "reasoning",
    "reasoning_summary_text.delta": "reasoning",
}
"""The ends of types of /responses whose `delta` is text."""


@dataclass(frozen=True, slots=True)
class Brought:
    """The content of an event: its kinds, joined by "+", and their joined text."""

    kind: str
    text: str


def brought(event: Event) -> Brought:
    """Return the content of an event; never raise."""
    data = event.data
    if data.strip() == DONE:
        return Brought("done", "")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return Brought("error" if api_error.find_in_event(event, None) else "not JSON", data)
    parts = [*parts_of(mapping(value)), *error_parts(event, value)] or [("empty", "")]
    kinds = dict.fromkeys(kind for kind, _ in parts)
    return Brought("+".join(filter(None, kinds)) or "empty", " ".join(text for _, text in parts if text))


def parts_of(event: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the parts of an event."""
    if isinstance(event.get("type"), str) and "choices" not in event:
        yield from typed_parts(str(event["type"]), event)
    else:
        for choice in choices(event):
            yield from choice_parts(choice)
    yield from usage_parts(event)


def error_parts(event: Event, value: object) -> Iterator[tuple[str, str]]:
    """Yield the error that the event reports."""
    if error := api_error.find_in_event(event, value):
        yield "error", str(error)


def choice_parts(choice: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the parts of a choice of a chat chunk; other choices than the first are marked with their index."""
    index = choice.get("index")
    mark = f"[{index}] " if isinstance(index, int) and index else ""
    delta = mapping(choice.get("delta")) or mapping(choice.get("message")) or {"content": choice.get("text")}
    texts = [(kind, value) for name, kind in TEXTS.items() if isinstance(value := delta.get(name), str) and value]
    calls = delta.get("tool_calls")
    content = delta.get("content")
    parts = content_parts(content) if isinstance(content, list) else ()
    typed = [("content" if part.kind == "text" else part.kind, str(part.content)) for part in parts]
    found = [
        *texts,
        *typed,
        *(("tool call", call_text(mapping(call))) for call in (calls if isinstance(calls, list) else ())),
    ]
    if not found and isinstance(delta.get("role"), str):
        found.append(("role", str(delta["role"])))
    if isinstance(choice.get("finish_reason"), str):
        found.append(("finish", str(choice["finish_reason"])))
    for kind, text in found:
        yield kind, mark + text


def call_text(call: Mapping[str, object]) -> str:
    """Return a piece of a tool call: its name, if present, and its arguments."""
    function = mapping(call.get("function")) or mapping(call.get("custom"))
    name, arguments = function.get("name"), function.get("arguments", function.get("input"))
    return (f"{name}(" if isinstance(name, str) and name else "") + (arguments if isinstance(arguments, str) else "")


def typed_parts(kind: str, event: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the parts of an event of /messages or /responses; an unknown one is named by its type."""
    delta = event.get("delta")
    if isinstance(delta, str):
        yield next((name for ending, name in ENDINGS.items() if kind.endswith(ending)), kind), delta
        return
    texts = [
        (name, value) for field, name in BLOCK_TEXTS.items() if isinstance(value := mapping(delta).get(field), str)
    ]
    if texts:
        yield from texts
    elif isinstance(reason := mapping(delta).get("stop_reason"), str):
        yield "finish", reason
    elif kind in ("message_stop", "response.completed"):
        yield "done", ""
    else:
        block = mapping(event.get("content_block")) or mapping(event.get("item"))
        yield kind, " ".join(str(block[name]) for name in ("type", "name") if isinstance(block.get(name), str))


def usage_parts(event: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the tokens in the event."""
    usage = of_answer(event)
    if usage.prompt_tokens is not None or usage.completion_tokens is not None:
        yield "usage", f"{usage.prompt_tokens or 0} + {usage.completion_tokens or 0} tokens"
