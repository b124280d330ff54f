"""Tests of reading chat completions from calls."""

from collections.abc import Callable

import pytest

from moonpalace_cli.calls.reading import Call
from moonpalace_cli.export.chat import answered_message, request_members, text_of, tool_calls
from moonpalace_cli.export.unfit import UnfitError

REQUEST = b'{"model": "k", "messages": []}'


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/proxy/v1/chat/completions"])
def test_request(call: Callable[..., Call], path: str) -> None:
    """The request of a chat completion is its JSON object."""
    assert request_members(call(REQUEST, path=path)) == {"model": "k", "messages": []}


@pytest.mark.parametrize(
    ("body", "changes", "why"),
    [
        (REQUEST, {"method": "GET"}, "is not a chat completion"),
        (REQUEST, {"path": "/v1/models"}, "is not a chat completion"),
        (REQUEST, {"path": "/anthropic/v1/messages"}, "is not a chat completion"),
        (b"", {}, "not a JSON object"),
        (b"[]", {}, "not a JSON object"),
        (b'{"messages": 1}', {}, "not a JSON object"),
        (b"[" * 100_000, {}, "not a JSON object"),
        (b"\xff", {}, "not a JSON object"),
    ],
)
def test_other_requests(call: Callable[..., Call], body: bytes, changes: dict[str, object], why: str) -> None:
    """A call other than a chat completion gives the reason."""
    with pytest.raises(UnfitError, match=why):
        request_members(call(body, **changes))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}', {"content": "a"}),
        (b'{"choices": []}', None),
        (b'{"choices": [1]}', None),
        (b'{"choices": [{"message": "x"}]}', None),
        (b'{"error": {}}', None),
        (b"<html>", None),
        (None, None),
    ],
)
def test_answer(call: Callable[..., Call], body: bytes | None, message: object) -> None:
    """The answer is the message of the first choice, if any."""
    assert answered_message(call(response=body)) == message


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a", "a"),
        (None, ""),
        ([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, 5, {}], "a\n[image_url]\n5\n[part]"),
    ],
)
def test_text_of(content: object, text: str) -> None:
    """The text parts of a content are joined, and others are named."""
    assert text_of(content) == text


def test_tool_calls() -> None:
    """Tool calls are formatted as calls; invalid ones are left out."""
    calls = [{"function": {"name": "f", "arguments": "{}"}}, 1, {"function": None}, {"function": {"name": "g"}}]
    assert tool_calls({"tool_calls": calls}) == ["f({})", "g()"]
    assert tool_calls({"tool_calls": "x"}) == tool_calls({}) == []
