"""Tests of usage in one form for all APIs."""

import pytest

from moonpalace_addons.wire.usage import Usage, find, of_answer, read
from tests.tables import for_each

type Json = dict[str, object]

COUNTED = Usage(1000, 50, 1050, 300, 20)
"""A call with 1000 input tokens, 300 of them cached, and 50 output tokens, 20 of them reasoning."""

CHAT: Json = {
    "prompt_tokens": 1000,
    "completion_tokens": 50,
    "total_tokens": 1050,
    "prompt_tokens_details": {"cached_tokens": 300},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
MESSAGES: Json = {
    "input_tokens": 700,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 300,
    "output_tokens": 50,
    "output_tokens_details": {"thinking_tokens": 20},
}
RESPONSES: Json = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 300},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 1050,
}
DEEPSEEK: Json = {
    "prompt_tokens": 1000,
    "completion_tokens": 50,
    "total_tokens": 1050,
    "prompt_cache_hit_tokens": 300,
    "prompt_cache_miss_tokens": 700,
    "completion_tokens_details": {"reasoning_tokens": 20},
}

SAME_CALL: dict[str, Json] = {
    "OpenAI": {"object": "chat.completion", "usage": CHAT},
    "Kimi": {"object": "chat.completion", "usage": CHAT | {"cached_tokens": 300}},
    "Kimi, in the choice": {"choices": [{"index": 0, "finish_reason": "stop", "usage": CHAT}]},
    "Kimi, in both": {"choices": [{"index": 0, "usage": CHAT}], "usage": CHAT},
    "in the second choice": {"choices": [{"index": 0}, {"index": 1, "usage": CHAT}]},
    "DeepSeek": {"object": "chat.completion", "usage": DEEPSEEK},
    "Groq": {"object": "chat.completion.chunk", "choices": [], "x_groq": {"id": "req_1", "usage": CHAT}},
    "xAI, whose completion has no reasoning": {"usage": CHAT | {"completion_tokens": 30}},
    "messages": {"type": "message", "usage": MESSAGES},
    "messages, with nothing written": {"usage": {k: v for k, v in MESSAGES.items() if "creation" not in k}},
    "message_start": {"type": "message_start", "message": {"type": "message", "usage": MESSAGES}},
    "responses": {"object": "response", "usage": RESPONSES},
    "response.completed": {"type": "response.completed", "response": {"object": "response", "usage": RESPONSES}},
    "completions": {"object": "text_completion", "choices": [{"text": "x"}], "usage": CHAT},
}


@for_each("name", SAME_CALL)
def test_the_same_call_has_the_same_numbers(name: str) -> None:
    """The same tokens give the same numbers, whatever API and server a call goes to."""
    counted = of_answer(SAME_CALL[name])._asdict()
    expected = COUNTED._asdict()
    for optional in ("cache_write_tokens", "cache_write_1h_tokens"):
        assert counted.pop(optional) in (None, 0)
        expected.pop(optional)
    assert counted == expected


WRITTEN: dict[str, Json] = {
    "messages": {
        "input_tokens": 100,
        "cache_read_input_tokens": 300,
        "cache_creation_input_tokens": 600,
        "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 100},
        "output_tokens": 50,
    },
    "OpenRouter": {
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 600},
    },
    "LiteLLM": {
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 300, "cache_creation_tokens": 600},
        "cache_creation_input_tokens": 600,
        "cache_read_input_tokens": 300,
    },
    "Qwen": {
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 300, "cache_creation_input_tokens": 600},
    },
}


@pytest.mark.parametrize("name", WRITTEN)
def test_tokens_written_to_a_cache(name: str) -> None:
    """They are input tokens, and counted separately from those that were read."""
    counted = read(WRITTEN[name])
    written = (counted.prompt_tokens, counted.cached_tokens, counted.cache_write_tokens, counted.total_tokens)
    assert written == (1000, 300, 600, 1050)
    assert counted.cache_write_1h_tokens == (100 if name == "messages" else None)


USAGES: dict[str, tuple[Json, Usage]] = {
    "nested": (
        {"prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}},
        Usage(cached_tokens=3, reasoning_tokens=2),
    ),
    "flat wins": ({"cached_tokens": 0, "prompt_tokens_details": {"cached_tokens": 3}}, Usage(cached_tokens=0)),
    "flat reasoning": ({"reasoning_tokens": 2}, Usage(reasoning_tokens=2)),
    "reasoning is included": (
        {"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6, "reasoning_tokens": 4},
        Usage(1, 5, 6, None, 4),
    ),
    "embeddings": ({"prompt_tokens": 8, "total_tokens": 8}, Usage(8, None, 8)),
    "hits and misses only": (
        {"prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 4},
        Usage(prompt_tokens=7, cached_tokens=3),
    ),
    "the sum of what is known": ({"prompt_tokens": 1, "completion_tokens": 2}, Usage(1, 2, 3)),
    "no sum of a half": ({"prompt_tokens": 1}, Usage(1)),
    "zero is known": ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Usage(0, 0, 0)),
    "a bool is no number": ({"prompt_tokens": True, "completion_tokens": False, "cached_tokens": True}, Usage()),
    "neither are texts, fractions and negatives": (
        {"prompt_tokens": "3", "completion_tokens": 1.0, "total_tokens": -1, "prompt_tokens_details": [1]},
        Usage(),
    ),
    "a service tier": ({"service_tier": "batch"}, Usage(service_tier="batch")),
    "OpenRouter's cost": ({"cost": 0.00125, "cost_details": {"x": 1}}, Usage(reported_cost=0.00125)),
    "no cost": ({"cost": 0}, Usage(reported_cost=0.0)),
    "a cost in parts": ({"cost": {"input_tokens_cost": 1, "total_cost": 2.5}}, Usage(reported_cost=2.5)),
    "what is no cost": ({"cost": True}, Usage()),
    "nor a text": ({"cost": "1"}, Usage()),
    "nor negative or endless": ({"cost": float("inf")}, Usage()),
}


@for_each("name", USAGES)
def test_usage(name: str) -> None:
    """Tokens are found where the APIs put them; values of a wrong type are missing."""
    usage, expected = USAGES[name]
    assert of_answer({"usage": usage}) == expected


def test_the_tier_next_to_the_usage() -> None:
    """OpenAI has the service tier next to the usage, Anthropic in it."""
    assert of_answer({"service_tier": "flex", "usage": {"prompt_tokens": 1}}).service_tier == "flex"
    assert of_answer({"service_tier": "x", "usage": {"service_tier": "priority"}}).service_tier == "priority"
    assert of_answer({"service_tier": {"a": 1}}).service_tier is None


@pytest.mark.parametrize("answer", [{}, {"usage": None}, {"usage": [1]}, {"choices": 1, "message": "no", "x_groq": 0}])
def test_nothing_is_found_in_other_shapes(answer: Json) -> None:
    """An answer without usage has none, whatever is in its place."""
    assert find(answer) == {}
    assert of_answer(answer) == Usage()
