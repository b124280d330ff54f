"""Explain why a prompt was cached or not: as lines for people, as a document for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from moonpalace_addons.views.money import amount
from moonpalace_cli.views.context_caches.causes import (
    Cause,
    Cost,
    cause_of,
    common_tokens,
    cost_of,
    explained,
    had_ended,
    passing,
    price_of,
)
from moonpalace_cli.views.context_caches.prefix_comparison import BLOCK, Comparison, Divergence, compare
from moonpalace_cli.views.context_caches.prompts import Request

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange


@dataclass(frozen=True, slots=True)
class Finding:
    """A call, the one that it continues, and what was found by comparing their prompts."""

    earlier: Exchange
    later: Exchange
    before: Request
    request: Request
    comparison: Comparison
    cost: Cost
    cause: Cause
    said: str | None = None
    """Why the cache missed as the API says it."""

    @property
    def seconds(self) -> float:
        """Return the seconds between the beginnings of the calls."""
        return (self.later.started_at - self.earlier.started_at).total_seconds()

    @property
    def shares_beginning(self) -> bool:
        """Tell whether the prompts begin alike: with a tool or message, or enough of the first to be cached."""
        compared, request = self.comparison, self.request
        if compared.same_messages or (request.tools and compared.same_tools):
            return True
        return common_tokens(self.later.prompt_tokens or 0, request, compared) >= request.least

    @property
    def price(self) -> tuple[float, str] | None:
        """Return what the miss cost, and the currency."""
        return price_of(self.later, self.cost.lost)


def find(earlier: Exchange, later: Exchange, before: Request, request: Request, said: str | None = None) -> Finding:
    """Compare the prompts of two calls."""
    comparison = compare(before, request)
    cost = cost_of(earlier, later, request, comparison)
    seconds = (later.started_at - earlier.started_at).total_seconds()
    cause = cause_of(seconds, before, request, comparison, cost, ended=had_ended(earlier, later))
    return Finding(earlier, later, before, request, comparison, cost, cause, said)


def lines(found: Finding) -> list[str]:
    """Return the report."""
    earlier, later, request, comparison = found.earlier, found.later, found.request, found.comparison
    there = len(request.messages)
    shown = [
        relation(found),
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
    shown += cost_lines(found.cost, request.block, found.price, found.cause)
    if found.cost.lost or found.cause == "other model":
        shown.append(f"cause: {explained(found.cause, found.seconds, found.before, found.cost)}")
    return [*shown, f"the API says: {found.said}"] if found.said else shown


def relation(found: Finding) -> str:
    """Return the line that names the two calls."""
    passed = passing(found.seconds) if found.seconds < 1 else f"{found.seconds:,.1f} s"
    if found.comparison.shared_messages:
        return f"call {found.later.id} continues call {found.earlier.id}, {passed} earlier"
    return (
        f"call {found.later.id} continues no call; call {found.earlier.id}, {passed} earlier, has the most alike prompt"
    )


def divergence_lines(earlier: Exchange, divergence: Divergence | None) -> list[str]:
    """Return the lines that state where the prompts diverge, and the text there."""
    if divergence is None:
        return ["diverged: nowhere, one is the beginning of the other"]
    place = f"message {divergence.number} ({divergence.role or 'no role'})"
    if divergence.kind == "put in":
        return [f"diverged: {place} was put in", f"  + {divergence.after}"]
    if divergence.kind == "left out":
        return [f"diverged: {place} of call {earlier.id} was left out", f"  - {divergence.before}"]
    same = divergence.characters
    after = f"{divergence.offset:,} bytes" if same is None else f"{same:,} {'character' if same == 1 else 'characters'}"
    where = f"diverged: {place} changed after {after}"
    return [where, f"  - {divergence.before}", f"  + {divergence.after}"]


def model_text(earlier: Exchange, later: Exchange, comparison: Comparison) -> str:
    """Return a remark on the two models."""
    if comparison.same_model:
        return f"{later.model_requested}, the same"
    return f"{earlier.model_requested} -> {later.model_requested}: models share no cache"


def cost_lines(
    cost: Cost, block: int = BLOCK, price: tuple[float, str] | None = None, cause: Cause = "changed"
) -> list[str]:
    """Return the lines about tokens, and what they cost."""
    if cost.prompt is None or cost.possible is None or cost.lost is None:
        return ["tokens: unknown, one of the two calls has no usage"]
    tokens = f"tokens: {cost.cached:,} of {cost.prompt:,} were cached"
    if cause == "other model":
        return [tokens]
    had = "had the earlier call ended" if cause == "not ended" else "had the earlier prompt stayed"
    shown = [f"{tokens}; {had}, {cost.possible:,} could have been{blocks_text(cost.possible, block)}"]
    money = f": {amount(price[0])} {price[1]}" if price else ""
    return [*shown, f"cost: {cost.lost:,} tokens that were not cached{money}" if cost.lost else "cost: nothing"]


def blocks_text(tokens: int, block: int = BLOCK) -> str:
    """Return how many blocks these tokens are, in brackets; nothing for an API that has no blocks."""
    count = tokens // block
    return f" ({count:,} {'block' if count == 1 else 'blocks'} of {block})" if block > 1 else ""


def document(found: Finding) -> dict[str, object]:
    """Return the report for programs."""
    money, currency = found.price or (None, None)
    return {
        "id": found.later.id,
        "earlier_id": found.earlier.id,
        "messages": len(found.request.messages),
        **asdict(found.comparison),
        "cache_outcome": found.later.cache_outcome,
        "context_cache_id": found.later.context_cache_id,
        "tokens": asdict(found.cost),
        "seconds": round(found.seconds, 3),
        "ttl": found.before.ttl,
        "cause": found.cause,
        "cost": money,
        "currency": currency,
        "cache_miss_reason": found.said,
    }
