"""Reading a finished answer: its fields, and whether it was cut off."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.completion import WARNING, truncation_warning
from moonpalace_addons.wire.faces.summary import Summary, summarize
from moonpalace_addons.wire.usage import Usage
from tests.tables import for_each

type Json = dict[str, Any]

CHAT: Json = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "kimi-k2",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cached_tokens": 4},
}

SUMMARIES: dict[str, tuple[object, Summary]] = {
    "chat": (CHAT, Summary("chatcmpl-1", "kimi-k2", "stop", Usage(10, 5, 15, 4, None))),
    "an error": (
        {"error": {"type": "x", "message": "m"}},
        Summary(error=ApiError("x", "m", None, {"type": "x", "message": "m"})),
    ),
    "/messages": (
        {
            "id": "msg_1",
            "type": "message",
            "model": "kimi-k2",
            "content": [{"type": "text", "text": "x"}],
            "stop_reason": "max_tokens",
            "usage": {
                "input_tokens": 3,
                "cache_read_input_tokens": 20,
                "cache_creation_input_tokens": 7,
                "output_tokens": 4,
            },
        },
        Summary("msg_1", "kimi-k2", "max_tokens", Usage(30, 4, 34, 20, None, 7)),
    ),
    "/v1/responses": (
        {
            "id": "resp_1",
            "object": "response",
            "model": "kimi-k2",
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "usage": {
                "input_tokens": 30,
                "input_tokens_details": {"cached_tokens": 20},
                "output_tokens": 9,
                "output_tokens_details": {"reasoning_tokens": 6},
                "total_tokens": 39,
            },
        },
        Summary("resp_1", "kimi-k2", "completed", Usage(30, 9, 39, 20, 6)),
    ),
    "/v1/responses, incomplete": (
        {"object": "response", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        Summary(finish_reason="max_output_tokens"),
    ),
    "a file": ({"id": "file-1", "object": "file"}, Summary()),
    "a thread's message": ({"id": "msg_1", "object": "thread.message"}, Summary()),
    "no choices": ({"choices": []}, Summary()),
    "a list of models": ({"object": "list", "data": []}, Summary()),
    "empty texts": ({"id": "", "model": "", "choices": [{"finish_reason": ""}]}, Summary()),
    "wrong types": (
        {"id": 1, "model": ["x"], "choices": [3, {"finish_reason": 5}], "usage": "x", "error": 7},
        Summary(),
    ),
}


@pytest.mark.parametrize("name", SUMMARIES)
def test_summaries(name: str) -> None:
    """Each shape of answer gives its identifiers, finish reason, usage and error."""
    completion, expected = SUMMARIES[name]
    assert summarize(completion) == expected


@pytest.mark.parametrize("completion", [None, True, 3, 1.5, "x", [], [CHAT], {}])
def test_what_is_no_answer(completion: object) -> None:
    """Anything but an object with known keys gives nothing."""
    assert summarize(completion) == Summary()


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        (["stop", "stop"], "stop"),
        (["stop", "length", "tool_calls"], "length"),
        (["tool_calls", "length"], "tool_calls"),
        ([None, "stop"], "stop"),
        ([None, None], None),
        ([], None),
    ],
)
def test_the_finish_reason_of_several_choices(reasons: list[str | None], expected: str | None) -> None:
    """The first finish reason that is not "stop" counts."""
    assert summarize({"choices": [{"finish_reason": reason} for reason in reasons]}).finish_reason == expected


def test_usage_in_a_choice() -> None:
    """Usage in a choice counts if there is none at top level."""
    choice = {"usage": {"prompt_tokens": 1}}
    assert summarize({"choices": [choice]}).usage == Usage(1)
    assert summarize({"choices": [choice], "usage": {"prompt_tokens": 2}}).usage == Usage(2)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "object",
                    "choices",
                    "usage",
                    "error",
                    "message",
                    "finish_reason",
                    "prompt_tokens",
                    "cached_tokens",
                    "prompt_tokens_details",
                    "completion_tokens",
                    "max_tokens",
                    "model",
                    "input_tokens",
                    "incomplete_details",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@given(json_values, json_values, st.booleans())
def test_nothing_is_raised(request: object, completion: object, streamed: bool) -> None:
    """Any answer and request are read and checked without an exception."""
    assert isinstance(summarize(completion), Summary)
    warning = truncation_warning(request, completion, streamed=streamed)
    assert warning is None or warning.startswith(WARNING)


def answer(reason: object = "length", usage: Json | None = None, model: str = "kimi-k2", **message: object) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x", **message}, "finish_reason": reason}
    return {"object": "chat.completion", "model": model, "choices": [choice], "usage": usage}


def tokens(prompt: int, completion: int, reasoning: int | None = None) -> Json:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


INCOMPLETE = "; the answer ended without a finish reason, it may be incomplete"
WARNINGS: dict[str, tuple[Json, Json, bool, str]] = {
    "a stream": ({}, answer(usage=tokens(9, 10)), True, ""),
    "no numbers": ({}, answer(), False, ""),
    "twice the tokens used": ({}, answer(usage=tokens(9, 10)), False, " (suggested max_tokens: 20)"),
    "twice the limit": ({"max_tokens": 30}, answer(usage=tokens(9, 10)), False, " (suggested max_tokens: 60)"),
    "twice the newer limit": (
        {"max_completion_tokens": 40, "max_tokens": 30},
        answer(),
        False,
        " (suggested max_tokens: 80)",
    ),
    "a limit that is none": ({"max_tokens": True, "max_completion_tokens": None}, answer(), False, ""),
    "8k": ({"model": "moonshot-v1-8k"}, answer(usage=tokens(100, 50)), False, " (suggested max_tokens: 8092)"),
    "32k": (
        {"model": "moonshot-v1-32k-vision-preview"},
        answer(usage=tokens(100, 50)),
        False,
        " (suggested max_tokens: 32668)",
    ),
    "128k": ({}, answer(usage=tokens(72, 50), model="moonshot-v1-128k"), False, " (suggested max_tokens: 131000)"),
    "auto has no window": (
        {"model": "moonshot-v1-auto"},
        answer(usage=tokens(100, 50), model="moonshot-v1-8k"),
        False,
        " (suggested max_tokens: 100)",
    ),
    "another number is no window": (
        {"model": "moonshot-v1-8kx"},
        answer(usage=tokens(1, 2)),
        False,
        " (suggested max_tokens: 4)",
    ),
    "a window without usage": (
        {"model": "moonshot-v1-8k", "max_tokens": 16},
        answer(),
        False,
        " (suggested max_tokens: 32)",
    ),
    "a full window": (
        {"model": "moonshot-v1-8k"},
        answer(usage=tokens(8000, 192)),
        False,
        "; the context window of 8192 tokens is full",
    ),
    "a full window and no finish reason": (
        {"model": "moonshot-v1-8k"},
        answer(None, usage=tokens(8000, 192)),
        True,
        "; the context window of 8192 tokens is full" + INCOMPLETE,
    ),
    "reasoning": (
        {"max_completion_tokens": 48},
        answer(usage=tokens(9, 48, 45), content=""),
        False,
        " (suggested max_tokens: 96); reasoning used up the budget (45 of 48 tokens)",
    ),
    "reasoning, streamed": (
        {},
        answer(usage=tokens(9, 48, 45)),
        True,
        "; reasoning used up the budget (45 of 48 tokens)",
    ),
    "some reasoning": ({}, answer(usage=tokens(9, 48, 30)), True, ""),
    "reasoning without numbers": (
        {},
        answer(content="", reasoning_content="hm"),
        True,
        "; reasoning used up the budget",
    ),
    "reasoning and content": ({}, answer(content="x", reasoning_content="hm"), True, ""),
    "reasoning and a tool call": ({}, answer(content=None, reasoning_content="hm", tool_calls=[{}]), True, ""),
    "no finish reason": ({"max_tokens": 5}, answer(None), False, " (suggested max_tokens: 10)"),
    "no finish reason of a stream": ({"max_tokens": 5}, answer(None), True, INCOMPLETE),
    "reasoning that was cut by a lost connection": (
        {},
        answer(None, content=None, reasoning_content="hm"),
        True,
        INCOMPLETE,
    ),
    "an empty finish reason": ({}, answer(""), True, INCOMPLETE),
    "no finish reason key": ({}, {"choices": [{"message": {}}]}, False, ""),
    "one choice of two": ({}, {"choices": [*answer("stop")["choices"], *answer()["choices"]]}, True, ""),
    "one choice of two without": ({}, {"choices": [*answer("stop")["choices"], {}]}, True, INCOMPLETE),
    "an error that is null": ({}, {**answer(), "error": None}, True, ""),
}


@for_each("name", WARNINGS)
def test_warnings(name: str) -> None:
    """A truncated answer gives the documented sentence, followed by details."""
    request, completion, streamed, rest = WARNINGS[name]
    sentence = "it seems that your max_tokens value is too small, please set a larger value"
    assert truncation_warning(request, completion, streamed=streamed) == sentence + rest


@pytest.mark.parametrize(
    "completion",
    [
        answer("stop"),
        answer("tool_calls"),
        answer("repeat"),
        {**answer(None), "error": {"message": "no"}},
        {"error": {"message": "no"}},
        {"object": "chat.completion", "choices": []},
        {**answer(), "object": "text_completion"},
        {"object": "list", "data": []},
        {"type": "message", "stop_reason": "max_tokens"},
        None,
        "length",
    ],
)
def test_no_warning(completion: object) -> None:
    """A complete answer, an error, and what is not a chat completion give no warning."""
    assert truncation_warning({"max_tokens": 5}, completion, streamed=False) is None
    assert truncation_warning(None, completion, streamed=True) is None


FAILED = {"code": "server_error", "message": "m"}
