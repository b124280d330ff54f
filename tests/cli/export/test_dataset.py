"""Tests of chat data."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from moonpalace_addons.store.tasks import State
from moonpalace_cli.calls.reading import Call
from moonpalace_cli.export.dataset import line
from moonpalace_cli.export.unfit import UnfitError

ASKED = {"role": "user", "content": "天气?"}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
CALLS = [{"id": "f:0", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def answered(message: object) -> bytes:
    """Return a completion with this message."""
    return json.dumps({"choices": [{"index": 0, "message": message}]}).encode()


@pytest.mark.parametrize("status", [200, 201])
def test_messages_and_answer(call: Callable[..., Call], status: int) -> None:
    """The answer is the last message; tools are a separate member, other parameters are left out."""
    request = {"model": "k", "temperature": 1, "messages": [ASKED], "tools": TOOLS, "parallel_tool_calls": False}
    message = {"role": "assistant", "content": "", "tool_calls": CALLS, "refusal": None}
    text = line(call(json.dumps(request).encode(), answered(message), status_code=status))
    assert json.loads(text) == {
        "messages": [ASKED, {"role": "assistant", "content": "", "tool_calls": CALLS}],
        "tools": TOOLS,
    }
    assert "天气" in text
    assert "\n" not in text


def test_stream(call: Callable[..., Call]) -> None:
    """The answer of a stream is its merged completion, including reasoning."""
    request = json.dumps({"messages": [ASKED], "stream": True}).encode()
    message = {"content": "sunny", "reasoning_content": "look outside"}
    read = json.loads(line(call(request, answered(message), b"data: {}\n\n")))
    assert read == {"messages": [ASKED, {"role": "assistant", **message}]}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"state": State.UPSTREAM_FAILED}, "has no complete answer"),
        ({"state": State.REPEAT_INTERRUPTED}, "has no complete answer"),
        ({"state": State.IN_FLIGHT}, "has no complete answer"),
        ({"status_code": 429}, "was answered with an error"),
        ({"status_code": None}, "was answered with an error"),
        ({"response": b"{}"}, "was answered without a message"),
        ({"path": "/v1/models"}, "is not a chat completion"),
    ],
)
def test_calls_left_out(call: Callable[..., Call], changes: dict[str, Any], why: str) -> None:
    """A call without a complete successful answer does not fit."""
    given: dict[str, Any] = {"request": json.dumps({"messages": [ASKED]}).encode(), "response": answered({})} | changes
    with pytest.raises(UnfitError, match=why):
        line(call(**given))
