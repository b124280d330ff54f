"""Tests of readable conversations."""

from collections.abc import Callable, Iterator

import pytest
from wcwidth import wcswidth

from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import State
from moonpalace_addons.views.chat_text import Line, chat_lines, plain_text
from moonpalace_addons.views.conversation import conversation
from moonpalace_cli.text.tables import STYLE
from moonpalace_cli.views.inspecting.chat_text import chat_text

CALL = {"id": "call_1", "function": {"name": "look", "arguments": '{"city": "北京"}'}}
REQUEST = {
    "tools": [{"function": {"name": "look"}}],
    "messages": [
        {"role": "system", "content": "be brief"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "how\x1b[2J is\nit"},
                {"type": "image_url", "image_url": {"url": "u"}},
            ],
        },
        {"role": "assistant", "content": None, "reasoning_content": "hm\nhm", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "晴"},
    ],
}
ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "sunny"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
}
SHOWN = """\
-- tools (1)
  look

-- system
  be brief

-- user
  how\\u001b[2J is
  it
  [image u]

-- assistant
  | hm
  | hm
  call look (call_1)
    {
        "city": "北京"
    }

-- tool (call_1)
  晴

== answer of kimi-k3 (finish reason stop, 1.6ms)
  sunny

tokens: 11 prompt + 7 completion = 18"""


def lines(exchange: Exchange, answer: object) -> Iterator[Line]:
    """Return the lines of this call."""
    return chat_lines(exchange, conversation(exchange.path, REQUEST, answer), answer)


def shown(exchange: Exchange, answer: object, width: int | None = None, *, colour: bool = False) -> str:
    """Return the conversation of this call."""
    return chat_text(lines(exchange, answer), width=width, colour=colour)


@pytest.fixture(autouse=True)
def lines_of_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the headings with dashes."""
    monkeypatch.setattr("moonpalace_cli.views.inspecting.chat_text.is_utf8", lambda: False)


def test_conversation(exchange: Callable[..., Exchange]) -> None:
    """Roles, reasoning, calls, results, images and the answer are shown, without control characters."""
    assert shown(exchange(), ANSWER) == SHOWN


def test_without_a_terminal(exchange: Callable[..., Exchange]) -> None:
    """The same lines are available as plain text."""
    expected = "\n".join(line.replace("--", "──").replace("==", "══") for line in SHOWN.split("\n"))
    assert plain_text(lines(exchange(), ANSWER)) == expected


def test_colours_change_nothing_else(exchange: Callable[..., Exchange]) -> None:
    """On a terminal the same lines are coloured."""
    coloured = shown(exchange(), ANSWER, colour=True)
    assert coloured != SHOWN
    assert STYLE.sub("", coloured) == SHOWN


@pytest.mark.parametrize("width", [30, 80])
def test_long_lines_are_folded(exchange: Callable[..., Exchange], width: int) -> None:
    """Text is wrapped to the terminal, between words if possible."""
    answer = {"choices": [{"message": {"content": "some words of a length " * 9 + "很长的一段话" * 30}}]}
    text = shown(exchange(), answer, width)
    assert all(wcswidth(line) <= width for line in text.split("\n"))
    assert "  some words of a" in text


@pytest.mark.parametrize(
    ("changes", "answer", "expected"),
    [
        (
            {"status_code": 429, "error_kind": "busy", "error_message": "later"},
            {"error": {"type": "busy", "message": "later"}},
            ["== answer of kimi-k3 (status 429, 1.6ms)", "  busy: later"],
        ),
        (
            {"state": State.UPSTREAM_FAILED, "error_kind": "upstream_cut", "error_message": "gone"},
            {"choices": [{"message": {"content": "The"}}]},
            ["== answer of kimi-k3 (1.6ms)", "  The", "", "upstream_failed: upstream_cut: gone"],
        ),
        (
            {"error_kind": "server_error", "error_message": "broken"},
            {"choices": [{"message": {"content": "The"}}]},
            ["== answer of kimi-k3 (1.6ms)", "  The", "", "error: server_error: broken"],
        ),
        ({"state": State.PROXY_DIED}, None, ["== answer of kimi-k3 (1.6ms)", "", "proxy_died"]),
        ({"refused": True}, None, ["== answer of kimi-k3 (1.6ms)", "", "upstream_failed: connect: connection refused"]),
        (
            {},
            {"choices": [{"index": 0, "message": {"content": "a"}}, {"index": 1, "message": {"content": "b"}}]},
            ["== answer of kimi-k3 (1.6ms)", "  a", "", "-- assistant (choice 1)", "  b", ""],
        ),
    ],
)
def test_ends(
    exchange: Callable[..., Exchange], changes: dict[str, object], answer: object, expected: list[str]
) -> None:
    """An answer ends with its error, once; several choices follow each other."""
    text = shown(exchange(**changes), answer)
    assert text[text.index("==") :].split(" by 127")[0].split("\n") == expected
