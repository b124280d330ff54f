"""The messages of a call as JSON, in the form that the conventions give them.

A message is `{"role": …, "parts": […]}`; a part is a text, reasoning, the call of a tool or its result, or another
block as text. Images and files are named, but not sent.
"""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import islice

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.telemetry import names
from moonpalace_addons.store.telemetry.operations import finish_reasons, traits_of
from moonpalace_addons.store.telemetry.spans import Attributes, text
from moonpalace_addons.wire.faces.table import face_of
from moonpalace_addons.wire.faces.turns import Part, Turn
from moonpalace_addons.wire.json_value import mapping, parse

type Json = dict[str, object]

MAX_PART = 20_000
"""Maximum characters of a part of a message."""
MAX_MESSAGES = 100_000
"""Maximum characters of all messages of one side; of a longer conversation, the newest messages are sent."""
_LABEL = re.compile(r"(.*?)(?: \(([^()]*)\))?", re.DOTALL)
"""The name of a tool, and the ID of its call in parentheses."""


def attributes_of(call: Exchange, request: object, answer: object) -> Attributes:
    """Return the attributes with the messages of the request and of the answer."""
    face = face_of(call.path, [answer])
    turns = [turn for turn in face.request_turns(request) if turn.role != "tools"]
    own = sum(bool(mapping(request).get(name)) for name in ("system", "instructions"))
    attributes = {
        names.SYSTEM_INSTRUCTIONS: as_json([part for turn in turns[:own] for part in parts_of(turn)]),
        names.INPUT_MESSAGES: as_json(newest(message(turn) for turn in reversed(turns[own:]))),
        names.OUTPUT_MESSAGES: as_json(answers(face.answer_turns(answer), call) if answer is not None else []),
        names.ERROR_MESSAGE: text(call.error_message or "", MAX_PART),
    }
    return {name: value for name, value in attributes.items() if value}


def newest(messages: Iterable[Json]) -> list[Json]:
    """Return the messages, given newest first, in their order, without the oldest ones if they are too long."""
    room, selected = MAX_MESSAGES, list[Json]()
    for each in messages:
        room -= len(json.dumps(each))
        if room < 0 and selected:
            break
        selected.append(each)
    return selected[::-1]


def answers(turns: Sequence[Turn], call: Exchange) -> list[Json]:
    """Return the messages of an answer, each with its finish reason."""
    traits = traits_of(call)
    reasons = (finish_reasons(traits) if traits else ()) or ("",)
    return newest(message(turn) | {"finish_reason": reasons[0]} for turn in reversed(turns) if turn.role != "error")


def message(turn: Turn) -> Json:
    """Return a turn as a message."""
    return {"role": turn.role, "parts": list(parts_of(turn))}


def parts_of(turn: Turn) -> list[Json]:
    """Return the parts of a turn; the text of a tool's turn is the result of a call."""
    if turn.role == "tool":
        result = "\n".join(str(part.content) for part in turn.parts if part.kind == "text")
        return [{"type": "tool_call_response", "id": turn.note or None, "response": result[:MAX_PART]}]
    return [part_of(part) for part in islice(turn.parts, 1000)]


def part_of(part: Part) -> Json:
    """Return a part of a message."""
    if part.kind == "call":
        match = _LABEL.fullmatch(part.label)
        name, id_ = match.groups() if match else (part.label, None)
        return {"type": "tool_call", "id": id_, "name": name, "arguments": arguments(part.content)}
    if part.kind in ("media", "json"):
        return {"type": str(mapping(part.content).get("type") or part.kind), "content": part.text[:MAX_PART]}
    return {"type": part.kind, "content": str(part.content)[:MAX_PART]}


def arguments(content: object) -> object:
    """Return the arguments of a call as JSON; invalid or long ones stay as the model wrote them."""
    written = content if isinstance(content, str) else json.dumps(content, default=str)
    value = parse(written) if len(written) <= MAX_PART else None
    return written[:MAX_PART] if value is None else value


def as_json(value: Sequence[Json]) -> str:
    """Return a value as JSON; empty for an empty value."""
    return text(json.dumps(value, ensure_ascii=False, default=str), 2 * MAX_MESSAGES) if value else ""
