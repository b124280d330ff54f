"""Describe the content of an event of a stream."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.json_value import mapping
from moonpalace_addons.wire.sse import Event
from moonpalace_addons.wire.usage import of_answer

DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class EventContent:
    """The content of an event: its kinds, joined by "+", and their joined text."""

    kind: str
    text: str


def event_content(event: Event, face: Face) -> EventContent:
    """Return the content of an event; never raise."""
    data = event.data
    if data.strip() == DONE:
        return EventContent("done", "")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return EventContent("error" if api_error.find_in_event(event, None) else "not JSON", data)
    fields = mapping(value)
    parts = [*face.event_parts(fields), *usage_parts(fields), *error_parts(event, value)] or [("empty", "")]
    kinds = dict.fromkeys(kind for kind, _ in parts)
    return EventContent("+".join(filter(None, kinds)) or "empty", " ".join(text for _, text in parts if text))


def error_parts(event: Event, value: object) -> Iterator[tuple[str, str]]:
    """Yield the error that the event reports."""
    if error := api_error.find_in_event(event, value):
        yield "error", str(error)


def usage_parts(event: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the tokens in the event."""
    usage = of_answer(event)
    if usage.prompt_tokens is not None or usage.completion_tokens is not None:
        yield "usage", f"{usage.prompt_tokens or 0} + {usage.completion_tokens or 0} tokens"
