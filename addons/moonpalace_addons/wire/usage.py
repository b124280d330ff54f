"""Read token counts from the usage object of any API, in one form.

The APIs count differently. Chat completions and /v1/responses include cached tokens in those of the prompt; /messages
counts tokens that were read from a cache or written to one separately. Some servers do not include reasoning in the
tokens of the completion, which shows in their total. The object itself stays in the answer as it is.
"""

from collections.abc import Mapping
from typing import NamedTuple

from moonpalace_addons.wire.json_value import mapping, whole_number, whole_numbers

type Counts = Mapping[str, int]
"""The members of a usage object that are counts, by their names."""

_NOTHING: Mapping[str, object] = {}
_NO_COUNTS: Counts = {}
_PLACES = ("x_groq", "message", "response")
"""Members that contain the usage in Groq's streams, in `message_start`, and in the events of /v1/responses."""
_WRITTEN = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
"""The names that OpenRouter, LiteLLM and Qwen use for tokens written to a cache."""


class Usage(NamedTuple):
    """The tokens of a call, and other data in its usage; None if unknown.

    `prompt_tokens` are all input tokens. They include `cached_tokens`, which were read from a cache, and
    `cache_write_tokens`, which were written to one; of those, `cache_write_1h_tokens` were written for an hour.
    `completion_tokens` are all output tokens, and include `reasoning_tokens`. `reported_cost` is the cost of the call
    in US dollars according to the server.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    service_tier: str | None = None
    reported_cost: float | None = None


_UNKNOWN = Usage()


def find(answer: Mapping[str, object]) -> Mapping[str, object]:
    """Return the usage object of an answer or of an event; empty if it has none."""
    if usage := mapping(answer.get("usage")):
        return usage
    choices = answer.get("choices")
    places = [*(choices if isinstance(choices, list) else ()), *(answer.get(name) for name in _PLACES)]
    return next((usage for place in places if (usage := mapping(mapping(place).get("usage")))), _NOTHING)


def of_answer(answer: Mapping[str, object]) -> Usage:
    """Return the usage of an answer."""
    return read(find(answer), service_tier=answer.get("service_tier"))


def read(usage: Mapping[str, object], *, service_tier: object = None) -> Usage:
    """Return the counts in a usage object; OpenAI gives the service tier next to it."""
    if not usage and service_tier is None:
        return _UNKNOWN
    counts, asked = whole_numbers(usage), _of_prompt(usage)
    prompt, completion = _prompt(counts), _first(counts, ("completion_tokens", "output_tokens"))
    reasoning, total = reasoning_tokens(usage, counts), counts.get("total_tokens")
    if prompt is not None and completion is not None:
        if reasoning and total == prompt + completion + reasoning:
            completion += reasoning
        total = prompt + completion if total is None else total
    tier = usage.get("service_tier") or service_tier
    written = counts.get("cache_creation_input_tokens")
    return Usage(
        prompt,
        completion,
        total,
        cached_tokens(usage, counts),
        reasoning,
        _first(asked, _WRITTEN) if written is None else written,
        whole_number(mapping(usage.get("cache_creation")).get("ephemeral_1h_input_tokens")),
        tier if isinstance(tier, str) and tier else None,
        _cost(usage.get("cost")) if "cost" in usage else None,
    )


def cached_tokens(usage: Mapping[str, object], counts: Counts) -> int | None:
    """Return the number of prompt tokens that were read from a cache; `counts` are the `whole_numbers` of `usage`."""
    if "cached_tokens" in counts:
        return counts["cached_tokens"]
    nested = _of_prompt(usage).get("cached_tokens")
    return _first(counts, ("prompt_cache_hit_tokens", "cache_read_input_tokens")) if nested is None else nested


def reasoning_tokens(usage: Mapping[str, object], counts: Counts) -> int | None:
    """Return the number of reasoning tokens; `counts` are the `whole_numbers` of `usage`."""
    details = mapping(usage.get("completion_tokens_details")) or mapping(usage.get("output_tokens_details"))
    nested = _first(whole_numbers(details), ("reasoning_tokens", "thinking_tokens")) if details else None
    return counts.get("reasoning_tokens") if nested is None else nested


def _first(counts: Counts, names: tuple[str, ...]) -> int | None:
    for name in names:
        if name in counts:
            return counts[name]
    return None


def _prompt(counts: Counts) -> int | None:
    if "prompt_tokens" in counts:
        return counts["prompt_tokens"]
    if "input_tokens" in counts:
        # Only /messages has the other members.
        names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        return sum(counts.get(name, 0) for name in names)
    hit, miss = (counts.get(f"prompt_cache_{kind}_tokens") for kind in ("hit", "miss"))
    return None if hit is None or miss is None else hit + miss


def _of_prompt(usage: Mapping[str, object]) -> Counts:
    details = mapping(usage.get("prompt_tokens_details")) or mapping(usage.get("input_tokens_details"))
    return whole_numbers(details) if details else _NO_COUNTS


def _cost(value: object) -> float | None:
    """Return a cost in dollars: a number, or the total of an object with parts."""
    amount = mapping(value).get("total_cost") if isinstance(value, dict) else value
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < 1e12:
        return None
    return float(amount)
