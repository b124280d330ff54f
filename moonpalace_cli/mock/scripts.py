"""The texts of the mock: one function per kind of answer, from a request to the choices of a completion."""

import json
import re
from collections.abc import Callable

from moonpalace_cli.mock.chat_request import ChatRequest, Json, Tool
from moonpalace_cli.mock.completions import Choice, FinishReason, Message, ToolCall

type Script = Callable[[ChatRequest], list[Choice]]

STORY = (
    "The rabbit on the moon grinds its medicine every night. Below it the rivers turn silver, the fishermen count "
    "their nets, and a child asks how far away the palace is. Nobody knows, so everybody answers: as far as you can "
    "walk before you are no longer curious. "
)
THOUGHTS = (
    "The user wants a short answer. First I look at what was asked, then I check that nothing is missing. "
    "让我想一想：问题很简单，直接回答就好。"
)
LOOP = "The moon rises over the palace and the rabbit begins to grind again. "
NO_FAULT = "nothing that the record shows"
FINDING = re.compile(r'^- evidence ("(?:[^"\\]|\\.)*"), advice ("(?:[^"\\]|\\.)*")$', re.MULTILINE)
"""A finding of the rules, as written by `moonpalace_cli/explaining/digest.py`."""
ORDER = re.compile(r"([\w-]+) *(?=\{)")
"""The name of a tool, followed by its arguments."""
REASONING_BUDGET = 48  # tokens, if the request has no limit
LENGTH_BUDGET = 16
MAX_TOKENS = 32_768  # tokens that a script writes however much the request allows
SCHEMA_DEPTH = 8  # a schema may contain itself


def echo(request: ChatRequest) -> list[Choice]:
    """Answer with the last user message, or with a tool's result if that comes last."""
    text = request.question if request.tool_result is None else request.tool_result
    return [text_choice(text if index == 0 else f"{text} ({index + 1})") for index in range(request.n)]


def story(request: ChatRequest) -> list[Choice]:
    """Tell the same story every time."""
    return [text_choice(STORY)] * request.n


def helper(request: ChatRequest) -> list[Choice]:
    """Explain a record of `mpal explain` by its first finding."""
    match = FINDING.search(request.question)
    evidence, advice = (json.loads(text) for text in match.groups()) if match else (NO_FAULT, "nothing.")
    return [text_choice(f"What went wrong: {evidence}.\nWhat to change: {advice}")] * request.n


def reasoning(request: ChatRequest) -> list[Choice]:
    """Reason, then answer with the last user message."""
    return [Choice(Message(choice.message.content, THOUGHTS)) for choice in echo(request)]


def length(request: ChatRequest) -> list[Choice]:
    """Tell a story that is longer than any budget."""
    budget = min(request.budget or LENGTH_BUDGET, MAX_TOKENS)
    return [text_choice(STORY * (1 + 4 * budget // len(STORY)), "length")] * request.n


def endless_reasoning(request: ChatRequest) -> list[Choice]:
    """Reason until the budget is used up, without any answer."""
    budget = min(request.budget or REASONING_BUDGET, MAX_TOKENS)
    return [Choice(Message("", THOUGHTS * (1 + 4 * budget // len(THOUGHTS))), "length")] * request.n


def one_tool(request: ChatRequest) -> list[Choice]:
    """Call the first tool; echo if there is none or its result is there."""
    return _calling(request, request.tools[:1])


def every_tool(request: ChatRequest) -> list[Choice]:
    """Call every tool; call the only one twice."""
    return _calling(request, request.tools if len(request.tools) > 1 else request.tools * 2)


def named_tool(request: ChatRequest) -> list[Choice]:
    """Call the tool named in the last user message with the JSON after its name; echo without a name.

    Clients put the name of a server before that of its tool: `search_calls` also names `moonpalace_search_calls`.
    """
    for match in ORDER.finditer(request.question):
        named = [tool for tool in request.tools if re.fullmatch(rf"(.*[._])?{re.escape(match[1])}", tool.name)]
        arguments = json_object(request.question, match.end())
        if named and arguments is not None and request.tool_result is None:
            return [Choice(Message("", tool_calls=(tool_call(named[0], 0, arguments),)), "tool_calls")] * request.n
    return echo(request)


def json_object(text: str, place: int) -> dict[str, Json] | None:
    """Return the JSON object at a position in a text; None if there is none."""
    try:
        value, _ = json.JSONDecoder().raw_decode(text, place)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def repeated(events: int) -> Script:
    """Return a script that repeats the same sentence `events` times."""
    return lambda request: [text_choice(LOOP * events, "length")] * request.n


def numbered(events: int) -> Script:
    """Return a script that counts to `events`."""
    return lambda request: [text_choice("".join(f"{number} " for number in range(1, events + 1)))] * request.n


def example(name: str, schema: dict[str, Json], depth: int = 0) -> Json:
    """Return a value that fits a JSON schema, named after its property."""
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    for listed in ("enum", "examples"):
        values = schema.get(listed)
        if isinstance(values, list) and values:
            return values[0]
    return _example_of_type(name, schema, depth)


def _example_of_type(name: str, schema: dict[str, Json], depth: int) -> Json:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    properties = schema.get("properties")
    if isinstance(properties, dict):
        inside = properties.items() if depth < SCHEMA_DEPTH else ()
        return {key: example(key, value, depth + 1) for key, value in inside if isinstance(value, dict)}
    if kind == "array":
        items = schema.get("items")
        return [example(name, items, depth + 1)] if isinstance(items, dict) and depth < SCHEMA_DEPTH else []
    least = schema.get("minimum")
    scalars: dict[str, Json] = {
        "integer": least if isinstance(least, int) else 1,
        "number": least if isinstance(least, int | float) else 1.5,
        "boolean": True,
        "object": {},
        "null": None,
    }
    return scalars.get(kind, f"{name} 示例") if isinstance(kind, str) else f"{name} 示例"


def text_choice(text: str, finish_reason: FinishReason = "stop") -> Choice:
    """Return a choice that consists of a text."""
    return Choice(Message(text), finish_reason)


def tool_call(tool: Tool, index: int, arguments: Json) -> ToolCall:
    """Return a call of a tool."""
    return ToolCall(f"{tool.name}:{index}", tool.name, json.dumps(arguments, ensure_ascii=False))


def _calling(request: ChatRequest, tools: tuple[Tool, ...]) -> list[Choice]:
    if not tools or request.tool_result is not None:
        return echo(request)
    schemas = (tool.parameters | {"type": "object"} for tool in tools)
    calls = tuple(
        tool_call(tool, index, example(tool.name, schema))
        for index, (tool, schema) in enumerate(zip(tools, schemas, strict=True))
    )
    return [Choice(Message("", tool_calls=calls), "tool_calls")] * request.n
