"""A Markdown report of a call for an issue tracker or an e-mail: title, request, answer, timing."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from moonpalace_addons.store.fields import error_text, model, url
from moonpalace_addons.version import __version__
from moonpalace_addons.wire.status import status_line
from moonpalace_cli.calls.content import answer, read, readable
from moonpalace_cli.calls.presentation import has_failed, metadata
from moonpalace_cli.export import curl
from moonpalace_cli.export.chat import Members, answered_message, request_members, text_of, tool_calls
from moonpalace_cli.export.markdown import escaped, fenced, shortened, table
from moonpalace_cli.export.unfit import UnfitError

if TYPE_CHECKING:
    from moonpalace_cli.calls.reading import Call

TITLE = 120
"""Maximum characters of a title, which trackers show in one line."""
SWITCHING_PROTOCOLS = 101
MESSAGE = 3000
"""Maximum characters of a message, body or command; trackers accept about 65,000 in total."""
MESSAGES = 8
"""Number of latest messages shown."""
KINDS = {"goodcase": "Good case", "badcase": "Bad case"}
FACTS = (
    "moonpalace_id",
    "chatcmpl",
    "request_id",
    "requested_at",
    "endpoint",
    "model",
    "status",
    "state",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "server_timing",
    "latency",
    "response_ttft",
    "response_tpot",
    "warnings",
)
MILLISECONDS = ("server_timing", "latency", "response_ttft", "response_tpot")


def report(call: Call, _: str = "") -> str:
    """Return the report; its first line is the title."""
    sections = [
        ("", f"# {escaped(title(call))}"),
        ("", call.exchange.note or ""),
        ("Call", facts(call)),
        ("Request", request_section(call)),
        ("Response", answer_section(call)),
        ("Reproduce", again(call)),
        ("Versions", versions(call)),
    ]
    return "\n\n".join((f"## {name}\n\n" if name else "") + text for name, text in sections if text)


def title(call: Call) -> str:
    """Return the title: the case, the model, and how the call ended."""
    exchange = call.exchange
    subject = model(exchange) or f"{exchange.method} {exchange.path}"
    text = f"{KINDS.get(exchange.category or '', 'Call')}: {subject}: {ending(call)}"
    line = " ".join(text.split())
    return line if len(line) <= TITLE else line[: TITLE - 1] + "…"


def ending(call: Call) -> str:
    """Return a short description of how the call ended."""
    exchange = call.exchange
    if has_failed(exchange):
        return error_text(exchange)
    if exchange.error_message:
        return f"{status_line(exchange.status_code)}, {exchange.error_message}"
    last = f", finish_reason {exchange.finish_reason}" if exchange.finish_reason else ""
    return (status_line(exchange.status_code) or exchange.state.value) + last


def facts(call: Call) -> str:
    """Return the table of identifiers, numbers and times."""
    values = metadata(call.exchange)
    rows = [(name, values[name] + (" ms" if name in MILLISECONDS else "")) for name in FACTS if name in values]
    return table([*rows, *([("tags", ", ".join(call.tags))] if call.tags else [])])


def request_section(call: Call) -> str:
    """Return the request: parameters and latest messages of a chat completion, otherwise the body."""
    address = f"{call.exchange.method} {url(call.exchange)}"
    try:
        request = request_members(call)
    except UnfitError:
        body = readable(read(call.bodies.request))
        return fenced(address) + (f"\n\n{fenced(shortened(body, MESSAGE))}" if body else "")
    messages = request["messages"] if isinstance(request["messages"], list) else []
    blocks = [fenced("\n".join([address, *parameters(request)]))]
    if len(messages) > MESSAGES:
        blocks.append(f"The last {MESSAGES} of {len(messages)} messages:")
    blocks += [block for message in messages[-MESSAGES:] for block in message_blocks(message)]
    return "\n\n".join(blocks)


def parameters(request: Members) -> list[str]:
    """Return the parameters of a chat completion, one per line; tools by name."""
    lines = []
    for name, value in request.items():
        if name == "tools" and isinstance(value, list):
            lines.append(f"tools: {', '.join(tool_name(tool) for tool in value)}")
        elif name != "messages":
            lines.append(shortened(f"{name}: {value if isinstance(value, str) else as_json(value)}", MESSAGE))
    return lines


def tool_name(tool: object) -> str:
    """Return the name of a tool."""
    function = tool.get("function") if isinstance(tool, dict) else None
    return str(function.get("name")) if isinstance(function, dict) else "?"


def as_json(value: object) -> str:
    """Return a value as JSON in one line."""
    from moonpalace_cli.export.json_document import one_line

    return one_line(value)


def message_blocks(message: object) -> list[str]:
    """Return a message: its role, then its content."""
    if not isinstance(message, dict):
        return [fenced(shortened(as_json(message), MESSAGE))]
    blocks = [f"**{escaped(str(message.get('role', 'message')))}**"]
    reasoning = message.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        blocks += ["Reasoning:", fenced(shortened(reasoning, MESSAGE))]
    text = text_of(message.get("content"))
    if text:
        blocks.append(fenced(shortened(text, MESSAGE)))
    calls = tool_calls(message)
    if calls:
        blocks += ["Tool calls:", fenced(shortened("\n".join(calls), MESSAGE))]
    return blocks


def answer_section(call: Call) -> str:
    """Return the answer: the message, otherwise the raw body, and the reason of a failure."""
    blocks = [fenced(error_text(call.exchange))] if has_failed(call.exchange) else []
    message = answered_message(call)
    if message is not None:
        return "\n\n".join([*blocks, *message_blocks(message)])
    body = readable(answer(call.exchange, call.bodies).shown(merged=True))
    return "\n\n".join([*blocks, *([fenced(shortened(body, MESSAGE))] if body else [])]) or "Nothing."


def again(call: Call) -> str:
    """Return the curl command; if it is too long, the command that prints it."""
    if call.exchange.status_code == SWITCHING_PROTOCOLS:
        return "The call went over a WebSocket, which curl cannot repeat."
    command = curl.command(call.exchange, call.bodies.request or b"")
    if len(command) > MESSAGE:
        return f"The request is long; `mpal export --id {call.exchange.id} --curl --redact` writes it as a command."
    return fenced(command, "sh")


def versions(call: Call) -> str:
    """Return the versions of the software involved."""
    headers = {name.lower(): value for name, value in curl.headers_of(call.exchange)}
    client = headers.get("user-agent", "unknown")
    runtime = " ".join(
        headers[name] for name in ("x-stainless-runtime", "x-stainless-runtime-version") if name in headers
    )
    rows = [("MoonPalace", __version__), ("Python", platform.python_version()), ("system", platform.platform())]
    return table([*rows, ("client", client), *([("runtime of the client", runtime)] if runtime else [])])
