"""Parse a chat request, as far as the mock needs it to answer."""

import hashlib
import json
from dataclasses import dataclass, field

from moonpalace_cli.mock.failures import RejectedError, invalid

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None

ATTACHMENT_TOKENS = 1024  # tokens of an image or a file in a message
MAX_CHOICES = 128
DEFAULT_MODEL = "mock-echo"

canonical = json.JSONEncoder(sort_keys=True).encode
# The same question must get the same ids, whether or not the answer is streamed.
_TRANSPORT_PARAMETERS = frozenset({"stream", "stream_options"})


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the client offers; `parameters` is its JSON schema."""

    name: str
    parameters: dict[str, Json]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The parts of a chat request that determine the answer.

    `question` is the text of the last user message, `tool_result` the text of the last message if a tool wrote it,
    `budget` the maximum tokens of the answer, `digest` a hexadecimal hash of the question; `offered` are the tools as
    given in the request. `cached_tokens` is set by the caller, who knows the earlier requests.
    """

    model: str
    question: str
    tool_result: str | None
    tools: tuple[Tool, ...]
    stream: bool
    include_usage: bool
    budget: int | None
    n: int
    prompt_tokens: int
    cached_tokens: int
    digest: str
    messages: tuple[dict[str, Json], ...] = field(repr=False)
    offered: Json = field(repr=False)


def count_tokens(text: str) -> int:
    """Count tokens by the mock's rule: one per four bytes of UTF-8, rounded up."""
    return (len(text.encode("utf-8", "surrogatepass")) + 3) // 4


def parse_object(body: bytes) -> dict[str, Json]:
    """Parse a JSON object, or raise `RejectedError` with status 400."""
    try:
        value: Json = json.loads(body)
    except ValueError:
        raise RejectedError(invalid("the body is not valid JSON")) from None
    except RecursionError:
        raise RejectedError(invalid("the body is nested too deeply")) from None
    if not isinstance(value, dict):
        raise RejectedError(invalid("the body must be a JSON object"))
    return value


def parse_chat(body: bytes) -> ChatRequest:
    """Parse the body of a chat request, or raise `RejectedError` with status 400."""
    return chat_request(parse_object(body))


def chat_request(value: dict[str, Json]) -> ChatRequest:
    """Return the parts of a chat request that determine the answer, or raise `RejectedError` with status 400."""
    messages = parse_messages(value)
    counts = [message_tokens(message) for message in messages]
    last = messages[-1]
    options = value.get("stream_options")
    limit = "max_completion_tokens" if value.get("max_completion_tokens") is not None else "max_tokens"
    return ChatRequest(
        model=parse_model(value, DEFAULT_MODEL),
        question=next((message_text(message) for message in reversed(messages) if message.get("role") == "user"), ""),
        tool_result=message_text(last) if last.get("role") == "tool" else None,
        tools=_tools(value),
        stream=_stream(value),
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        budget=parse_positive(value, limit),
        n=_choices(value),
        prompt_tokens=sum(counts),
        cached_tokens=0,
        digest=_digest(value),
        messages=tuple(messages),
        offered=value.get("tools"),
    )


def parse_messages(value: dict[str, Json]) -> list[dict[str, Json]]:
    """Return the messages of a request, or raise `RejectedError` with status 400."""
    listed = value.get("messages")
    if not isinstance(listed, list) or not listed:
        raise RejectedError(invalid("messages must be a list with at least one message"))
    messages = [message for message in listed if isinstance(message, dict)]
    if len(messages) != len(listed):
        raise RejectedError(invalid("each message must be an object"))
    return messages


def message_text(message: dict[str, Json]) -> str:
    """Return the text of a message; the text parts of a list are joined."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part_text(part) for part in content) if isinstance(content, list) else ""


def message_tokens(message: dict[str, Json]) -> int:
    """Count the tokens of a message: text, attachments and tool calls."""
    content = message.get("content")
    attached = [part for part in content if not part_text(part)] if isinstance(content, list) else []
    calls = message.get("tool_calls")
    called = count_tokens(json.dumps(calls, ensure_ascii=False)) if calls else 0
    return count_tokens(message_text(message)) + ATTACHMENT_TOKENS * len(attached) + called


def part_text(part: Json) -> str:
    """Return the text of a part of a content; empty if it is not text."""
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""


def parse_model(value: dict[str, Json], default: str) -> str:
    """Return the model, or raise `RejectedError` with status 400 if it is not a non-empty string."""
    model = value.get("model", default)
    if not isinstance(model, str) or not model:
        raise RejectedError(invalid("model must be a string"))
    return model


def _stream(value: dict[str, Json]) -> bool:
    stream = value.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise RejectedError(invalid("stream must be true or false"))
    return bool(stream)


def parse_positive(value: dict[str, Json], name: str) -> int | None:
    """Return a member that must be a positive whole number, None if it is missing, or raise `RejectedError` (400)."""
    number = value.get(name)
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise RejectedError(invalid(f"{name} must be a whole number above 0"))
    return number


def _choices(value: dict[str, Json]) -> int:
    number = parse_positive(value, "n") or 1
    if number > MAX_CHOICES:
        raise RejectedError(invalid(f"n must not be above {MAX_CHOICES}"))
    return number


def _tools(value: dict[str, Json]) -> tuple[Tool, ...]:
    offered = value.get("tools")
    functions = (
        [tool.get("function") for tool in offered if isinstance(tool, dict)] if isinstance(offered, list) else []
    )
    return tuple(tool for function in functions if (tool := _tool(function)) is not None)


def _tool(function: Json) -> Tool | None:
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        return None
    parameters = function.get("parameters")
    return Tool(name, parameters if isinstance(parameters, dict) else {})


def _digest(value: dict[str, Json]) -> str:
    question = {name: part for name, part in value.items() if name not in _TRANSPORT_PARAMETERS}
    return hashlib.sha256(canonical(question).encode()).hexdigest()
