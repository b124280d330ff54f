"""Read the turns of a conversation from requests and answers of any face, and of servers that mix them.

    chat completions    `messages`, `choices`
    messages            `system`, `messages` with blocks of content, `content`
    responses           `instructions`, `input`, `output`

Nothing is rejected: content of an unknown form is a part as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.chat.completion import choices
from moonpalace_addons.wire.json_value import mapping, parse
from moonpalace_addons.wire.placeholders import as_json, placeholder

type Kind = Literal["text", "reasoning", "call", "media", "json"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a message.

    `content` is the text, the arguments of a call, the block of an image or a file, or any other JSON value. `label` is
    the name of a called tool, with the ID of the call.
    """

    kind: Kind
    content: object
    label: str = ""

    @property
    def text(self) -> str:
        """The part as text: calls and unknown blocks as indented JSON, media as placeholders."""
        if self.kind == "call":
            return arguments_text(self.content)
        if self.kind == "media":
            return placeholder(mapping(self.content)) or ""
        return as_json(self.content) if self.kind == "json" else str(self.content)


@dataclass(frozen=True, slots=True)
class Turn:
    """A message; `note` adds to its role, such as the ID of the call that a tool answers."""

    role: str
    parts: tuple[Part, ...]
    note: str = ""


def request_turns(request: object) -> list[Turn]:
    """Return the messages of a request, in order, preceded by a turn with the names of its tools."""
    body = mapping(request)
    system = [Turn("system", tuple(content_parts(body[name]))) for name in ("system", "instructions") if body.get(name)]
    messages = body.get("messages", body.get("input"))
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    turns = [turn for message in (messages if isinstance(messages, list) else ()) for turn in message_turns(message)]
    return [*tool_list(body), *system, *turns, *text_turns("prompt", body.get("prompt"))]


def text_turns(role: str, prompt: object) -> list[Turn]:
    """Return a turn for each text of a request without messages; a list of tokens is one turn."""
    texts = prompt if isinstance(prompt, list) and any(isinstance(text, str) for text in prompt) else [prompt]
    return [
        Turn(role, (Part("text", text) if isinstance(text, str) else value_part(text),))
        for text in texts
        if text is not None
    ]


def answer_turns(answer: object) -> list[Turn]:
    """Return a turn for each choice of the answer, or one with its error."""
    body = mapping(answer)
    turns = [choice_turn(choice) for choice in choices(body)]
    if isinstance(output := body.get("output"), list):
        turns += [turn for item in output for turn in message_turns(item, role="assistant")]
    elif not turns and body.get("role") == "assistant":
        turns = list(message_turns(body))
    if not turns and (error := api_error.find(answer)):
        return [Turn("error", (Part("text", str(error)),))]
    if not turns and answer is not None:
        return [Turn("answer", (value_part(answer),))]
    return turns


def tool_list(body: Mapping[str, object]) -> Iterator[Turn]:
    """Yield one turn with the names of the request's tools, if it has any."""
    tools = body.get("tools")
    names = []
    for tool in map(mapping, tools if isinstance(tools, list) else ()):
        name = mapping(tool.get("function")).get("name") or tool.get("name") or tool.get("type")
        names.append(str(name) if name else "?")
    if names:
        yield Turn("tools", (Part("text", ", ".join(names)),), str(len(names)))


def choice_turn(choice: Mapping[str, object]) -> Turn:
    """Return the turn of a choice."""
    message = mapping(choice.get("message"))
    index = choice.get("index")
    note = f"choice {index}" if index else ""
    if not message and isinstance(text := choice.get("text"), str):  # a legacy completion
        message = {"content": text}
    return Turn(str(message.get("role") or "assistant"), tuple(message_parts(message)), note)


def message_turns(message: object, role: str = "") -> Iterator[Turn]:
    """Yield the turns of a message; Anthropic's tool results, which are parts of user messages, become turns."""
    fields = mapping(message)
    if not fields:
        yield Turn(role or "?", (value_part(message),))
        return
    content = fields.get("content")
    blocks = [mapping(block) for block in content] if isinstance(content, list) else []
    results = [block for block in blocks if block.get("type") == "tool_result"]
    for block in results:
        yield Turn("tool", tuple(content_parts(block.get("content"))), str(block.get("tool_use_id") or ""))
    if results and len(results) == len(blocks):
        return
    kind = fields.get("type")
    if kind in ("function_call_output", "custom_tool_call_output"):
        yield Turn("tool", tuple(content_parts(fields.get("output"))), str(fields.get("call_id") or ""))
        return
    name = str(fields.get("role") or role or kind or "?")
    keys = ("name", "tool_call_id") if "role" in fields else ()
    note = " ".join(str(fields[key]) for key in keys if fields.get(key))
    yield Turn(name, tuple(message_parts(fields)), note)


def message_parts(message: Mapping[str, object]) -> Iterator[Part]:
    """Yield the parts of a message in the order in which the model generated them: reasoning, text, calls."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(text := message.get(name), str) and text:
            yield Part("reasoning", text)
    kind = message.get("type")
    if kind in ("function_call", "reasoning") or (
        isinstance(kind, str) and "content" not in message and kind != "message"
    ):
        yield block_part(message)
        return
    yield from content_parts(message.get("content"))
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        yield Part("text", refusal, "refusal")
    calls = message.get("tool_calls")
    for call in map(mapping, calls if isinstance(calls, list) else ()):
        function = mapping(call.get("function"))
        yield call_part(function.get("name"), call.get("id"), function.get("arguments"))
    if function := mapping(message.get("function_call")):
        yield call_part(function.get("name"), None, function.get("arguments"))


def content_parts(content: object) -> Iterator[Part]:
    """Yield the parts of a message's content: a text, or a list of blocks."""
    if isinstance(content, str):
        if content:
            yield Part("text", content)
    elif isinstance(content, list):
        for block in content:
            if isinstance(block, str):
                yield Part("text", block)
            elif mapping(block).get("type") != "tool_result":
                yield block_part(mapping(block)) if isinstance(block, dict) else value_part(block)
    elif content is not None:
        yield value_part(content)


def block_part(block: Mapping[str, object]) -> Part:
    """Return the part for a block of content."""
    kind = block.get("type")
    if kind in ("tool_use", "server_tool_use", "custom_tool_call", "function_call", "mcp_call"):
        arguments = block.get("arguments") if kind in ("function_call", "mcp_call") else block.get("input")
        arguments = block.get("partial_json", arguments)  # the received part of an unfinished tool input
        return call_part(block.get("name"), block.get("call_id") or block.get("id"), arguments)
    if kind in ("thinking", "reasoning"):
        return Part("reasoning", thought(block))
    if isinstance(text := block.get("text"), str):
        return Part("text", text)
    if kind == "refusal" and isinstance(text := block.get("refusal"), str):
        return Part("text", text, "refusal")
    return value_part(block)


def value_part(value: object) -> Part:
    """Return the part for any other value: an image, a file, or any JSON."""
    return Part("media" if isinstance(value, dict) and placeholder(value) is not None else "json", value)


def thought(block: Mapping[str, object]) -> str:
    """Return the text of a block of reasoning."""
    if isinstance(text := block.get("thinking"), str):
        return text
    listed = block.get("summary") or block.get("content") or text
    pieces = [mapping(piece).get("text") for piece in (listed if isinstance(listed, list) else ())]
    return "\n".join(piece for piece in pieces if isinstance(piece, str))


def call_part(name: object, id_: object, arguments: object) -> Part:
    """Return the call of a tool."""
    return Part("call", arguments, f"{name or '?'}" + (f" ({id_})" if id_ else ""))


def arguments_text(arguments: object) -> str:
    """Format the arguments of a call: valid JSON is indented, anything else stays as the model wrote it."""
    value = parse(arguments) if isinstance(arguments, str) else arguments
    if isinstance(arguments, str) and not isinstance(value, dict | list):
        return arguments
    return "" if value is None else as_json(value)
