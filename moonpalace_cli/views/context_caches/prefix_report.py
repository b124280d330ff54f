"""Explain why a prompt was cached or not: as lines for people, as a document for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from moonpalace_cli.views.context_caches.prefix_comparison import BLOCK, Comparison, Divergence, Request, blocks

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens: of the prompt, cached, cacheable without the divergence, and the difference.

    `kept` estimates the common prefix of the two prompts. None is unknown.
    """

    prompt: int | None
    cached: int
    possible: int | None
    kept: int | None
    lost: int | None


def cost_of(earlier: Exchange, later: Exchange, request: Request, comparison: Comparison) -> Cost:
    """Return the cost of a divergence, from the tokens that the API counted and the common bytes."""
    prompt, cached = later.prompt_tokens, later.cached_tokens or 0
    if prompt is None or earlier.prompt_tokens is None:
        return Cost(prompt, cached, None, None, None)
    possible = blocks(min(prompt, earlier.prompt_tokens))
    kept = blocks(prompt * comparison.same_bytes // max(1, request.size)) if comparison.same_model else 0
    return Cost(prompt, cached, possible, min(kept, possible), max(0, possible - cached))


def lines(earlier: Exchange, later: Exchange, request: Request, comparison: Comparison) -> list[str]:
    """Return the report."""
    seconds = (later.started_at - earlier.started_at).total_seconds()
    there = len(request.messages)
    shown = [
        f"call {later.id} continues call {earlier.id}, {seconds:,.1f} s earlier",
        f"messages: {comparison.shared_messages} of {there} were in call {earlier.id} too, "
        f"the first {comparison.same_messages} in the same place",
        *divergence_lines(earlier, comparison.divergence),
        f"tools: {len(request.tools)}, {'the same' if comparison.same_tools else 'changed: a prefix begins with them'}",
        f"model: {model_text(earlier, later, comparison)}",
    ]
    if comparison.parameters:
        shown.append(f"other parameters, which are no part of a prefix: {', '.join(comparison.parameters)}")
    if later.cache_outcome is not None:
        used = f" {later.context_cache_id}" if later.context_cache_id else ""
        shown.append(f"context cache: {later.cache_outcome}{used}")
    return shown + cost_lines(cost_of(earlier, later, request, comparison), comparison)


def divergence_lines(earlier: Exchange, divergence: Divergence | None) -> list[str]:
    """Return the lines that state where the prompts diverge, and the text there."""
    if divergence is None:
        return ["diverged: nowhere, one is the beginning of the other"]
    place = f"message {divergence.number} ({divergence.role or 'no role'})"
    if divergence.kind == "put in":
        return [f"diverged: {place} was put in", f"  + {divergence.after}"]
    if divergence.kind == "left out":
        return [f"diverged: {place} of call {earlier.id} was left out", f"  - {divergence.before}"]
    where = f"diverged: {place} changed after {divergence.offset:,} bytes"
    return [where, f"  - {divergence.before}", f"  + {divergence.after}"]


def model_text(earlier: Exchange, later: Exchange, comparison: Comparison) -> str:
    """Return a remark on the two models."""
    if comparison.same_model:
        return f"{later.model_requested}, the same"
    return f"{earlier.model_requested} -> {later.model_requested}: models share no cache"


def cost_lines(cost: Cost, comparison: Comparison) -> list[str]:
    """Return the lines about tokens."""
    if cost.prompt is None or cost.possible is None or cost.lost is None:
        return ["tokens: unknown, one of the two calls has no usage"]
    could = f"{cost.possible:,} could have been ({blocks_text(cost.possible)})"
    shown = [f"tokens: {cost.cached:,} of {cost.prompt:,} were cached; had the earlier prompt stayed, {could}"]
    if not cost.lost:
        return [*shown, "cost: nothing"]
    if comparison.is_prefix:
        why = "and nothing diverged: the cache had expired, or another machine of the API answered"
        return [*shown, f"cost: {cost.lost:,} tokens that were not cached, {why}"]
    return [*shown, f"cost: {cost.lost:,} tokens that were not cached"]


def blocks_text(tokens: int) -> str:
    """Return how many blocks these tokens are."""
    count = tokens // BLOCK
    return f"{count:,} {'block' if count == 1 else 'blocks'} of {BLOCK}"


def document(earlier: Exchange, later: Exchange, request: Request, comparison: Comparison) -> dict[str, object]:
    """Return the report for programs."""
    return {
        "id": later.id,
        "earlier_id": earlier.id,
        "messages": len(request.messages),
        **asdict(comparison),
        "cache_outcome": later.cache_outcome,
        "context_cache_id": later.context_cache_id,
        "tokens": asdict(cost_of(earlier, later, request, comparison)),
    }
