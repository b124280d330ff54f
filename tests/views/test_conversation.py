"""Tests of conversations, and of the descriptions of their answers."""

import pytest

from moonpalace_addons.views.conversation import conversation, usage_line
from moonpalace_addons.wire.faces.turns import Part, Turn

IMAGE = {"type": "image_url", "image_url": {"url": "u"}}


def test_conversation() -> None:
    """Messages and answers are in order; an image keeps its block, for views that can show it."""
    answer = {"choices": [{"message": {"role": "assistant", "reasoning_content": "hm", "content": "a cat"}}]}
    said = conversation("/v1/chat/completions", {"messages": [{"role": "user", "content": [IMAGE]}]}, answer)
    assert said.request_turns == [Turn("user", (Part("media", IMAGE),))]
    assert said.answer_parts == [Part("reasoning", "hm"), Part("text", "a cat")]


def test_the_answer_says_what_the_path_does_not() -> None:
    """The answer is recognised even if the path is unknown, e.g. that of a gateway."""
    answer = {"object": "list", "data": [{"object": "embedding", "embedding": [0.5]}]}
    assert [part.text for part in conversation("/odd", {"input": "a"}, answer).answer_parts] == ["embeddings: 1"]


@pytest.mark.parametrize(
    ("usage", "line"),
    [
        (None, ""),
        ({"prompt_tokens": 3, "completion_tokens": 4}, "tokens: 3 prompt + 4 completion = 7"),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "total_tokens": 7,
                "cached_tokens": 2,
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            "tokens: 3 prompt (2 cached) + 4 completion (1 of reasoning) = 7",
        ),
        ({"input_tokens": 3, "output_tokens": 4}, "tokens: 3 prompt + 4 completion = 7"),
    ],
)
def test_usage(usage: object, line: str) -> None:
    """The tokens are summarised in one line."""
    assert usage_line({"usage": usage} if usage else {}) == line


@pytest.mark.parametrize("odd", [None, 1, "text", [1], {"choices": [1, {"message": 1}], "usage": [1]}])
def test_nothing_is_too_odd(odd: object) -> None:
    """Any answer, however odd, is described without an exception."""
    assert usage_line(odd) == ""
