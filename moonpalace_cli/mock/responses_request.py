"""Read a request to the responses endpoint as the chat request that asks the same."""

from moonpalace_cli.mock.chat_request import ChatRequest, Json, chat_request, parse_object
from moonpalace_cli.mock.failures import RejectedError, invalid

type Fields = dict[str, Json]

TOKENS = "max_output_tokens"


def parse_response_request(body: bytes) -> ChatRequest:
    """Parse the body of a request to responses, or raise `RejectedError` with status 400."""
    return chat_request(as_chat(parse_object(body)))


def as_chat(value: Fields) -> Fields:
    """Return the body of a chat request with the same instructions, messages and tools."""
    instructions, given = value.get("instructions"), value.get("input")
    items: list[Json] = [{"role": "user", "content": given}] if isinstance(given, str) else []
    if isinstance(given, list):
        items = given
    if not items:
        raise RejectedError(invalid("input must be a string, or a list with at least one item"))
    messages: list[Json] = [{"role": "system", "content": instructions}] if instructions else []
    messages += [message for item in items if (message := _message(item)) is not None]
    tools = value.get("tools")
    functions: list[Json] = [_function(tool) for tool in (tools if isinstance(tools, list) else []) if _is_own(tool)]
    told: Fields = {name: value[name] for name in ("model", "stream") if name in value}
    limit: Fields = {"max_tokens": value[TOKENS]} if value.get(TOKENS) is not None else {}
    return {**told, **limit, "messages": messages, **({"tools": functions} if functions else {})}


def _message(item: Json) -> Json:
    """Return the message of a chat that says the same as an input item; None for reasoning."""
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


def _is_own(tool: Json) -> bool:
    """Tell whether the client runs a tool, and not the API."""
    return isinstance(tool, dict) and tool.get("type") == "function"


def _function(tool: Json) -> Fields:
    fields = tool if isinstance(tool, dict) else {}
    function: Fields = {name: fields[name] for name in ("name", "description", "parameters") if name in fields}
    return {"type": "function", "function": function}
