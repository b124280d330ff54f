"""Convert a request to Anthropic's messages to the equivalent chat request."""

import json

from moonpalace_cli.mock.chat_request import ChatRequest, Json, chat_request, parse_messages, parse_object, part_text
from moonpalace_cli.mock.failures import RejectedError, invalid

type Fields = dict[str, Json]


def parse_message_request(body: bytes) -> ChatRequest:
    """Parse the body of a request to messages, or raise `RejectedError` with status 400."""
    value = parse_object(body)
    if value.get("max_tokens") is None:
        raise RejectedError(invalid("max_tokens: Field required"))
    return chat_request(as_chat(value))


def as_chat(value: Fields) -> Fields:
    """Return the body of the equivalent chat request."""
    system = value.get("system")
    messages: list[Json] = [{"role": "system", "content": system}] if system else []
    for message in parse_messages(value):
        messages += _messages(message)
    tools = value.get("tools")
    functions: list[Json] = [_function(tool) for tool in (tools if isinstance(tools, list) else []) if _is_own(tool)]
    members: Fields = {name: value[name] for name in ("model", "stream", "max_tokens") if name in value}
    return {**members, "messages": messages, **({"tools": functions} if functions else {})}


def _messages(message: Fields) -> list[Json]:
    """Return the equivalent messages of a chat; results of tools become separate messages."""
    content = message.get("content")
    if not isinstance(content, list):
        return [message]
    blocks = [block for block in content if isinstance(block, dict)]
    results: list[Json] = [_result(block) for block in blocks if block.get("type") == "tool_result"]
    calls: list[Json] = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    others: list[Json] = [
        block
        for block in blocks
        if block.get("type") not in ("tool_result", "tool_use", "thinking", "redacted_thinking")
    ]
    if results and not others:
        return results
    return [*results, {"role": message.get("role"), "content": others, **({"tool_calls": calls} if calls else {})}]


def _result(block: Fields) -> Fields:
    content = block.get("content")
    text = "".join(map(part_text, content)) if isinstance(content, list) else content
    return {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": text}


def _call(block: Fields) -> Fields:
    arguments = json.dumps(block.get("input"), ensure_ascii=False)
    return {
        "id": block.get("id"),
        "type": "function",
        "function": {"name": block.get("name"), "arguments": arguments},
    }


def _is_own(tool: Json) -> bool:
    """Return whether the client runs a tool, rather than the API."""
    return isinstance(tool, dict) and "input_schema" in tool


def _function(tool: Json) -> Fields:
    fields = tool if isinstance(tool, dict) else {}
    function: Fields = {"name": fields.get("name"), "parameters": fields.get("input_schema")}
    if "description" in fields:
        function["description"] = fields["description"]
    return {"type": "function", "function": function}
