"""Convert a request to the responses endpoint to the equivalent chat request."""

from collections.abc import Iterator

from moonpalace_cli.mock.chat_request import ChatRequest, Json, chat_request, parse_object
from moonpalace_cli.mock.failures import RejectedError, invalid

type Fields = dict[str, Json]

TOKENS = "max_output_tokens"
SEPARATOR = "."
"""The separator between a namespace and the name of its tool; neither contains one."""


def parse_response_request(body: bytes) -> ChatRequest:
    """Parse the body of a request to responses, or raise `RejectedError` with status 400."""
    return chat_request(as_chat(parse_object(body)))


def as_chat(value: Fields) -> Fields:
    """Return the body of the equivalent chat request."""
    instructions, content = value.get("instructions"), value.get("input")
    items: list[Json] = [{"role": "user", "content": content}] if isinstance(content, str) else []
    if isinstance(content, list):
        items = content
    if not items:
        raise RejectedError(invalid("input must be a string, or a list with at least one item"))
    messages: list[Json] = [{"role": "system", "content": instructions}] if instructions else []
    messages += [message for item in items if (message := _message(item)) is not None]
    tools = value.get("tools")
    functions: list[Json] = [*_functions(tools if isinstance(tools, list) else [])]
    members: Fields = {name: value[name] for name in ("model", "stream") if name in value}
    limit: Fields = {"max_tokens": value[TOKENS]} if value.get(TOKENS) is not None else {}
    return {**members, **limit, "messages": messages, **({"tools": functions} if functions else {})}


def _message(item: Json) -> Json:
    """Return the chat message for an input item; None for reasoning."""
    if not isinstance(item, dict):
        return item
    kind = item.get("type", "message")
    if kind == "function_call":
        function: Json = {"name": item.get("name"), "arguments": item.get("arguments")}
        return {
            "role": "assistant",
            "tool_calls": [{"id": item.get("call_id"), "type": "function", "function": function}],
        }
    if kind == "function_call_output":
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
    return {"role": item.get("role"), "content": item.get("content")} if kind == "message" else None


def _functions(tools: list[Json], space: str = "") -> Iterator[Fields]:
    """Yield the tools that the client runs, rather than the API; tools of a namespace have its name as a prefix."""
    for tool in tools:
        if not isinstance(tool, dict):
            continue
        inner, name = tool.get("tools"), tool.get("name")
        if tool.get("type") == "namespace" and isinstance(inner, list) and not space:
            yield from _functions(inner, f"{name}{SEPARATOR}")
        elif tool.get("type") == "function":
            function: Fields = {key: tool[key] for key in ("description", "parameters") if key in tool}
            yield {"type": "function", "function": {"name": f"{space}{name}", **function}}
