"""Read the request and the answer of a stored chat completion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from moonpalace_addons.wire.faces.table import face_of_path
from moonpalace_addons.wire.json_value import parse
from moonpalace_cli.export.unfit import UnfitError

if TYPE_CHECKING:
    from moonpalace_cli.calls.reading import Call

type Members = dict[str, object]
"""A JSON object."""


def parsed(data: bytes | None) -> object:
    """Return the parsed JSON; None if it is invalid."""
    return parse(data or b"")


def request_members(call: Call) -> Members:
    """Return the request to chat completions; raise UnfitError for other calls and for an invalid body."""
    if call.exchange.method != "POST" or face_of_path(call.exchange.path) is not CHAT_COMPLETIONS:
        raise UnfitError("is not a chat completion")
    body = parsed(call.bodies.request)
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        raise UnfitError("asks with a body that is not a JSON object with messages")
    return body


def answered_message(call: Call) -> Members | None:
    """Return the message of the first choice, merged if it was streamed; None if there is none."""
    body = parsed(call.bodies.response)
    choices = body.get("choices") if isinstance(body, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return message if isinstance(message, dict) else None


def text_of(content: object) -> str:
    """Return the text of a message's content; other parts are replaced by their type in brackets."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(part_text(part) for part in content)


def part_text(part: object) -> str:
    """Return the text of one part of a content."""
    if not isinstance(part, dict):
        return str(part)
    text = part.get("text")
    return text if isinstance(text, str) else f"[{part.get('type', 'part')}]"


def tool_calls(message: Members) -> list[str]:
    """Return the tool calls of a message, each as `name(arguments)`."""
    calls = message.get("tool_calls")
    functions = [each.get("function") for each in calls if isinstance(each, dict)] if isinstance(calls, list) else []
    return [f"{one.get('name')}({one.get('arguments', '')})" for one in functions if isinstance(one, dict)]
