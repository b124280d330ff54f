"""The conversation of a call as messages."""

import json

from moonpalace_addons.views.conversation import conversation
from moonpalace_cli.web.messages import MANY, RECENT, Talk, talk
from tests.cli.web.samples import completion, message, png, request

PATH = "/v1/chat/completions"


def talk_of(asked: bytes, answer: bytes | None = None) -> Talk:
    """Return the conversation of a request and an answer."""
    return talk(conversation(PATH, json.loads(asked), json.loads(answer) if answer else None))


def call(name: str, id_: str) -> dict[str, object]:
    """Return a call of a tool."""
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": "{}"}}


def test_results_stand_beside_their_calls() -> None:
    """The result of a tool is shown with the call that it answers; one without a call keeps its place."""
    asked = request(
        message("user", "go"),
        message("assistant", None, tool_calls=[call("a", "1"), call("b", "2")]),
        message("tool", "of b", tool_call_id="2"),
        message("tool", "of a", tool_call_id="1"),
        message("tool", "of nobody", tool_call_id="3"),
    )
    result = talk_of(asked)
    assert [each.role for each in result.recent] == ["user", "assistant", "tool"]
    results = [piece.result and piece.result.pieces[0].text for piece in result.recent[1].pieces]
    assert results == ["of a", "of b"]


def test_a_later_call_with_the_same_id() -> None:
    """If a server restarts ids in each answer, each result is at its own call."""
    turns = [message("assistant", None, tool_calls=[call("a", "x")]), message("tool", "1", tool_call_id="x")]
    again = [message("assistant", None, tool_calls=[call("a", "x")]), message("tool", "2", tool_call_id="x")]
    result = talk_of(request(*turns, *again))
    assert [each.pieces[0].result.pieces[0].text for each in result.recent if each.pieces[0].result] == ["1", "2"]


def test_a_long_conversation_is_folded() -> None:
    """Of many messages the instruction, the last ones and the answer are open."""
    asked = request(
        message("system", "be brief"), *(message("user", f"message {number}") for number in range(MANY + 1))
    )
    result = talk_of(asked, completion("done"))
    assert [len(part) for part in (result.first, result.earlier, result.recent, result.answer)] == [
        1,
        MANY + 1 - RECENT,
        RECENT,
        1,
    ]
    assert result.recent[-1].pieces[0].text == f"message {MANY}"


def test_kinds_of_pieces() -> None:
    """Texts are Markdown, results of tools are unchanged, images are shown, external ones are named."""
    content = [
        {"type": "text", "text": "**hi**"},
        {"type": "image_url", "image_url": {"url": png()}},
        {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}},
        {"type": "odd", "value": 1},
    ]
    result = talk_of(
        request(message("user", content), message("tool", "**no**")), completion("x", reasoning_content="y")
    )
    pieces = [(piece.kind, piece.html is not None) for piece in result.recent[0].pieces]
    assert pieces == [("html", True), ("image", False), ("plain", False), ("json", True)]
    assert result.recent[0].pieces[2].text == "[image https://example.org/x.png]"
    assert [(piece.kind, piece.text) for piece in result.recent[1].pieces] == [("plain", "**no**")]
    assert [piece.kind for piece in result.answer[0].pieces] == ["reasoning", "html"]


def test_a_huge_message_is_shown_as_it_is() -> None:
    """A text too long for Markdown is plain text, and leaves the budget to the others."""
    result = talk_of(request(message("user", "short"), message("user", "*" * 100_000)), completion("*answer*"))
    assert [each.pieces[0].html is not None for each in (*result.recent, *result.answer)] == [True, False, True]
