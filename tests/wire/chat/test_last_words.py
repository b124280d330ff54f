"""Tests of the user's last words."""

import pytest

from moonpalace_addons.wire.chat.last_words import MAX_LENGTH, last_words


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]}, "one"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]},
            "b",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "the question"},
                    {"role": "user", "content": [{"type": "tool_result", "content": "x"}]},
                    {"role": "user", "content": [{"type": "text", "text": "<system-reminder>x</system-reminder>"}]},
                ]
            },
            "the question",
        ),
        ({"input": "asked"}, "asked"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "asked"}]}]}, "asked"),
        ({"prompt": "once upon"}, "once upon"),
        ({"messages": [{"role": "user", "content": "x" * 1000}]}, "x" * MAX_LENGTH),
        ({"messages": [None, 1, {"role": "user"}, {"role": "user", "content": 5}]}, ""),
        ({}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_last_words(request_: object, expected: str) -> None:
    """On each face, the last text written by the user counts; additions by agents and tools do not."""
    assert last_words(request_) == expected
