"""The conversation of a request and its answer as text."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from moonpalace_addons.wire.chat.completion import choices
from moonpalace_addons.wire.faces import turns
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.faces.summary import summarize
from moonpalace_addons.wire.faces.table import UNKNOWN
from moonpalace_addons.wire.json_value import mapping, parse
from moonpalace_cli.calls.placeholders import DATA_URL, placeholder
from moonpalace_cli.text.json_text import reindent

DATA = re.compile(r""""data:[^"\\]*(?:\\.[^"\\]*)*"(?!\s*:)""")
"""A JSON string, but not a key, that contains a `data:` URL."""

type Kind = Literal["text", "reasoning", "call", "media", "json"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a message; `label` is the name of a called tool, with the ID of the call."""

    kind: Kind
    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A message; `note` adds to its role, such as which call a tool answers."""

    role: str
    parts: tuple[Part, ...]
    note: str = ""


def asked(request: object, face: Face = UNKNOWN) -> list[Turn]:
    """Return the messages of a request, in order, after a turn with the names of its tools."""
    return [as_text(turn) for turn in face.asked(request)]


def answered(answer: object, face: Face = UNKNOWN) -> list[Turn]:
    """Return the answer: a message for each choice, or the error."""
    return [as_text(turn) for turn in face.answered(answer)]


def as_text(turn: turns.Turn) -> Turn:
    """Return a turn with its parts as text."""
    return Turn(turn.role, tuple(map(part_text, turn.parts)), turn.note)


def part_text(part: turns.Part) -> Part:
    """Return a part as text: calls and blocks of unknown kinds as JSON, media by placeholders."""
    if part.kind == "call":
        return Part("call", arguments_text(part.content), part.label)
    if part.kind != "block":
        return Part(part.kind, str(part.content), part.label)
    shown = placeholder(part.content) if isinstance(part.content, dict) else None
    return Part("json", as_json(part.content)) if shown is None else Part("media", shown)


def arguments_text(arguments: object) -> str:
    """Return the arguments of a call; those that are JSON are indented, others are as the model wrote them."""
    value = parse(arguments) if isinstance(arguments, str) else arguments
    if isinstance(arguments, str) and not isinstance(value, dict | list):
        return arguments
    return "" if value is None else as_json(value)


def as_json(value: object) -> str:
    """Return the value as indented JSON, with placeholders for long strings of data."""
    # On the text, because nesting may be deeper than recursion allows.
    return reindent(DATA.sub(named_data, json.dumps(value, ensure_ascii=False, default=str)))


def named_data(string: re.Match[str]) -> str:
    """Return a placeholder, in quotes, for a string with a `data:` URL; any other string is unchanged."""
    url = json.loads(string[0])
    return json.dumps(placeholder({"url": url}), ensure_ascii=False) if DATA_URL.match(url) else string[0]


def usage_line(answer: object) -> str:
    """Return the tokens of the answer in one line, empty if it does not give them."""
    usage = summarize(answer).usage
    if usage.prompt_tokens is None and usage.completion_tokens is None:
        return ""
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    reasoning = f" ({usage.reasoning_tokens} of reasoning)" if usage.reasoning_tokens else ""
    total = "" if usage.total_tokens is None else f" = {usage.total_tokens}"
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return f"tokens: {prompt} prompt{cached} + {completion} completion{reasoning}{total}"


def finish_reasons(answer: object) -> Sequence[str]:
    """Return why each choice ended."""
    reasons = [choice.get("finish_reason") for choice in choices(mapping(answer))]
    found = [reason for reason in reasons if isinstance(reason, str)]
    return found or list(filter(None, [summarize(answer).finish_reason]))
