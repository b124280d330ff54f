"""Truncating and counting completions."""

import pytest

from moonpalace_cli.mock.completions import (
    Choice,
    Message,
    ToolCall,
    by_word,
    completion_tokens,
    limited,
)
from tests.tables import for_each

FULL = Message("abcd" * 4, "efgh" * 4, (ToolCall("a:0", "a", "mnop" * 2), ToolCall("b:1", "b", "qrst")))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("one", ["one"]),
        ("one  two\nthree", ["one  ", "two\n", "three"]),
        (" lead", [" ", "lead"]),
        ("你好，世界", ["你好", "，世", "界"]),
        ("Kimi说hello", ["Kimi", "说", "hello"]),
        ("🌙🐇 家", ["🌙🐇 ", "家"]),
    ],
)
def test_by_word(text: str, pieces: list[str]) -> None:
    """A text is split after white space and after every two Chinese characters; nothing is lost."""
    assert by_word(text) == pieces
    assert "".join(by_word(text)) == text


def test_all_parts_count() -> None:
    """Reasoning with its marks, content and arguments all count."""
    assert completion_tokens(Choice(FULL)) == 4 + 3 + 4 + 2 + 1


@for_each("budget", range(1, 15))
def test_a_budget_is_used_to_the_last_token(budget: int) -> None:
    """A truncated choice never has more tokens than the budget, and its reason is the length."""
    result = limited(Choice(FULL), budget)
    if budget == 14:
        assert result == Choice(FULL)
    else:
        assert result.finish_reason == "length"
        assert completion_tokens(result) == (budget if budget > 3 else 0)


@pytest.mark.parametrize(
    ("budget", "left"),
    [
        (2, Message("", "")),
        (5, Message("", "efgh" * 2)),
        (8, Message("abcd", "efgh" * 4)),
        (11, Message("abcd" * 4, "efgh" * 4)),
        (12, Message("abcd" * 4, "efgh" * 4, (ToolCall("a:0", "a", "mnop"),))),
    ],
)
def test_reasoning_is_served_first(budget: int, left: Message) -> None:
    """The budget is spent on reasoning first, then on content and the calls in order."""
    assert limited(Choice(FULL), budget).message == left


def test_a_code_point_is_not_cut() -> None:
    """A character that does not fit the budget entirely is left out."""
    assert limited(Choice(Message("月亮月亮")), 2).message.content == "月亮"


def test_a_choice_within_the_budget_stays_as_it_is() -> None:
    """A sufficient budget, or none, changes nothing."""
    choice = Choice(Message("abcd"), "tool_calls")
    assert limited(choice, 1) is limited(choice, None) is choice
