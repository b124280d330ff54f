"""Explain why tokens of a prompt were not cached that could have been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from moonpalace_addons.store.state import State
from moonpalace_addons.wire.json_value import dump_json, mapping, parse_bounded
from moonpalace_addons.wire.prices import MILLION
from moonpalace_cli.views.context_caches.prefix_comparison import Comparison, blocks
from moonpalace_cli.views.showing.phrases import Phrase, phrase

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_cli.views.context_caches.prompts import Request

type Cause = Literal["cached", "changed", "expired", "lost", "not ended", "other model", "unmarked", "unknown"]

LIKELY_TTL = 300
"""Seconds after which a cache of unknown lifetime may have expired: the APIs keep a prefix for at least that long."""
LONG_PROMPT = 1024
"""Minimum tokens of a prompt for which it is worth mentioning that nothing was cached."""
NEARLY = 0.9
"""Share of the common prefix from which it counts as cached, because its tokens are estimated from its bytes."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Token counts: of the prompt, cached, cacheable without the divergence, and the difference; None if unknown.

    `kept` estimates the common prefix of the two prompts.
    """

    prompt: int | None
    cached: int
    possible: int | None
    kept: int | None
    lost: int | None


def cost_of(earlier: Exchange, later: Exchange, request: Request, comparison: Comparison) -> Cost:
    """Return the cost of a divergence, from the API's token counts and the common bytes."""
    prompt, cached = later.prompt_tokens, later.cached_tokens or 0
    if prompt is None or earlier.prompt_tokens is None:
        return Cost(prompt, cached, None, None, None)
    possible = blocks(min(prompt, earlier.prompt_tokens), request.block)
    kept = blocks(common_tokens(prompt, request, comparison), request.block)
    if not comparison.same_model:
        return Cost(prompt, cached, 0, 0, 0)
    return Cost(prompt, cached, possible, min(kept, possible), max(0, possible - cached))


def common_tokens(prompt: int, request: Request, comparison: Comparison) -> int:
    """Estimate the tokens of the common prefix, given those of the whole prompt."""
    return prompt * comparison.same_bytes // max(1, request.size)


def had_ended(earlier: Exchange, later: Exchange) -> bool:
    """Return whether a call had ended when another one began."""
    if earlier.latency is None:
        return earlier.state is not State.IN_FLIGHT
    return earlier.started_at + timedelta(microseconds=earlier.latency / 1000) <= later.started_at


def cause_of(
    seconds: float, before: Request, request: Request, comparison: Comparison, cost: Cost, *, ended: bool = True
) -> Cause:
    """Return why the tokens were not cached; `seconds` passed between the calls, the earlier of which had `ended`."""
    if not comparison.same_model and not cost.cached and cost.prompt is not None:
        return "other model"
    if cost.lost is None or cost.kept is None:
        return "unknown"
    if not cost.lost:
        return "cached"
    if not (before.is_marked or request.is_marked):
        return "unmarked"
    is_used = cost.kept < request.least or cost.cached + request.block >= NEARLY * cost.kept
    if not comparison.is_prefix and is_used:
        return "changed"
    if not ended:
        return "not ended"
    return "expired" if seconds > (before.ttl or LIKELY_TTL) else "lost"


def explained(cause: Cause, seconds: float, before: Request, cost: Cost) -> Phrase:
    """Return a cause in words."""
    passed = passing(seconds)
    match cause:
        case "expired" if before.ttl is not None:
            return phrase(
                "expired: {passed} had passed, and the cache's lifetime was {seconds} s",
                passed=passed,
                seconds=f"{before.ttl:,}",
            )
        case "expired":
            return phrase(
                "probably expired: {passed} had passed, and caches usually live for {minutes} to 10 minutes",
                passed=passed,
                minutes=LIKELY_TTL // 60,
            )
        case "lost":
            return phrase(
                "lost: only {passed} had passed: another machine of the API answered, or it had dropped the cache",
                passed=passed,
            )
        case "changed" if not cost.cached:
            return phrase("changed: the part before the difference is too short to be cached")
        case _:
            return WORDS.get(cause, Phrase(cause))


WORDS: Mapping[Cause, Phrase] = {
    "unmarked": phrase("unmarked: neither request has a cache_control, without which this API caches nothing"),
    "changed": phrase("changed: the API had cached the prompt up to the difference"),
    "not ended": phrase(
        "not ended: the earlier call was in flight when this began, so its prompt may not have been cached yet"
    ),
    "other model": phrase("other model: models do not share caches"),
}


def passing(seconds: float) -> str:
    """Format a passed time, in milliseconds if it is less than a second."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
    return f"{seconds:,.0f} s"


def price_of(later: Exchange, lost: int | None) -> tuple[float, str] | None:
    """Return the additional cost because tokens were not cached, and the currency; None if the prices are unknown."""
    if lost is None or later.price_input is None or later.price_cached is None or later.cost_currency is None:
        return None
    return lost * (later.price_input - later.price_cached) / MILLION, later.cost_currency


def said_by_api(answer: bytes) -> str | None:
    """Return the reason of the cache miss in the answer (`diagnostics.cache_miss_reason`); None if there is none."""
    reason = mapping(mapping(parse_bounded(answer)).get("diagnostics")).get("cache_miss_reason")
    if reason is None:
        return None
    return reason if isinstance(reason, str) else dump_json(reason).decode()
