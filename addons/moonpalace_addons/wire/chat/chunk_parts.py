"""Describe what a choice of a chat chunk adds, as text for people."""

from collections.abc import Iterator, Mapping

from moonpalace_addons.wire.faces.turns import content_parts
from moonpalace_addons.wire.json_value import mapping, text_in

TEXTS = {"reasoning_content": "reasoning", "reasoning": "reasoning", "content": "content", "refusal": "refusal"}
"""Members of a delta that are texts, and their kinds."""


def choice_parts(choice: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield kind and text of each part; those of other choices than the first are marked with their index."""
    index = choice.get("index")
    mark = f"[{index}] " if isinstance(index, int) and index else ""
    delta = mapping(choice.get("delta")) or mapping(choice.get("message")) or {"content": choice.get("text")}
    found = list(_delta_parts(delta))
    if not found and isinstance(delta.get("role"), str):
        found.append(("role", str(delta["role"])))
    if isinstance(choice.get("finish_reason"), str):
        found.append(("finish", str(choice["finish_reason"])))
    for kind, text in found:
        yield kind, mark + text


def _delta_parts(delta: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, kind in TEXTS.items():
        if text := text_in(delta, name):
            yield kind, text
    content, calls = delta.get("content"), delta.get("tool_calls")
    for part in content_parts(content) if isinstance(content, list) else ():
        yield "content" if part.kind == "text" else part.kind, str(part.content)
    for call in map(mapping, calls if isinstance(calls, list) else ()):
        yield "tool call", _call_text(call)


def _call_text(call: Mapping[str, object]) -> str:
    """Return a piece of a tool call: its name, if present, and its arguments."""
    function = mapping(call.get("function")) or mapping(call.get("custom"))
    name, arguments = function.get("name"), function.get("arguments", function.get("input"))
    return (f"{name}(" if isinstance(name, str) and name else "") + (arguments if isinstance(arguments, str) else "")
