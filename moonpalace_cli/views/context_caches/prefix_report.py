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
from moonpalace_cli.views.showing.phrases import NOTHING, Phrase, phrase

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange

CHANGED_TOOLS = "tools: {count}, changed: a prefix begins with them"
TOKENS_IF_ENDED = (
    "tokens: {cached} of {prompt} were cached; if the earlier call had ended, {possible} could have been{blocks}"
)
TOKENS_IF_STAYED = (
    "tokens: {cached} of {prompt} were cached; with the earlier prompt unchanged, {possible} could have been{blocks}"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A call, the one that it continues, and the comparison of their prompts."""

    earlier: Exchange
    later: Exchange
    before: Request
    request: Request
    comparison: Comparison
    cost: Cost
    cause: Cause
    api_reason: str | None = None
    """The reason of the cache miss according to the API."""

    @property
    def seconds(self) -> float:
        """The seconds between the beginnings of the calls."""
        return (self.later.started_at - self.earlier.started_at).total_seconds()

    @property
    def shares_beginning(self) -> bool:
        """Whether the prompts share a beginning: a tool or message, or enough of the first one to be cached."""
        compared, request = self.comparison, self.request
        if compared.same_messages or (request.tools and compared.same_tools):
            return True
        return common_tokens(self.later.prompt_tokens or 0, request, compared) >= request.least

    @property
    def price(self) -> tuple[float, str] | None:
        """The cost of the miss, and the currency."""
        return price_of(self.later, self.cost.lost)


def find(
    earlier: Exchange, later: Exchange, before: Request, request: Request, api_reason: str | None = None
) -> Finding:
    """Compare the prompts of two calls."""
    comparison = compare(before, request)
    cost = cost_of(earlier, later, request, comparison)
    seconds = (later.started_at - earlier.started_at).total_seconds()
    cause = cause_of(seconds, before, request, comparison, cost, ended=had_ended(earlier, later))
    return Finding(earlier, later, before, request, comparison, cost, cause, api_reason)


def lines(finding: Finding) -> list[Phrase]:
    """Return the report."""
    earlier, later, request, comparison = finding.earlier, finding.later, finding.request, finding.comparison
    report_lines = [
        relation(finding),
        phrase(
            "messages: {shared} of {all} were in call {id} too, the first {same} in the same place",
            shared=comparison.shared_messages,
            all=len(request.messages),
            id=earlier.id,
            same=comparison.same_messages,
        ),
        *divergence_lines(earlier, comparison.divergence),
        phrase("tools: {count}, the same" if comparison.same_tools else CHANGED_TOOLS, count=len(request.tools)),
        model_line(earlier, later, comparison),
    ]
    if comparison.parameters:
        names = ", ".join(comparison.parameters)
        report_lines.append(phrase("other parameters, which are not part of a prefix: {names}", names=names))
    if later.cache_outcome is not None:
        used = " ".join(filter(None, (later.cache_outcome, later.context_cache_id)))
        report_lines.append(phrase("context cache: {used}", used=used))
    report_lines += cost_lines(finding.cost, request.block, finding.price, finding.cause)
    if finding.cost.lost or finding.cause == "other model":
        why = explained(finding.cause, finding.seconds, finding.before, finding.cost)
        report_lines.append(phrase("cause: {why}", why=why))
    return (
        [*report_lines, phrase("the API says: {said}", said=finding.api_reason)] if finding.api_reason else report_lines
    )


def relation(finding: Finding) -> Phrase:
    """Return the line that names the two calls."""
    passed = passing(finding.seconds) if finding.seconds < 1 else f"{finding.seconds:,.1f} s"
    calls = {"id": finding.later.id, "earlier": finding.earlier.id, "passed": passed}
    if finding.comparison.shared_messages:
        return phrase("call {id} continues call {earlier}, {passed} earlier", **calls)
    return phrase(
        "call {id} continues no call; call {earlier}, {passed} earlier, has the most similar prompt",
        **calls,
    )


def divergence_lines(earlier: Exchange, divergence: Divergence | None) -> list[Phrase]:
    """Return the lines that state where the prompts diverge, and the text there."""
    if divergence is None:
        return [phrase("diverged: nowhere, one is a prefix of the other")]
    place = {"number": divergence.number, "role": divergence.role or phrase("no role")}
    before, after = phrase("  - {text}", text=divergence.before), phrase("  + {text}", text=divergence.after)
    if divergence.kind == "put in":
        return [phrase("diverged: message {number} ({role}) was inserted", **place), after]
    if divergence.kind == "left out":
        return [phrase("diverged: message {number} ({role}) of call {id} was removed", **place, id=earlier.id), before]
    same = divergence.characters
    if same is None:
        where = phrase("{count} bytes", count=f"{divergence.offset:,}")
    else:
        where = phrase("1 character") if same == 1 else phrase("{count} characters", count=f"{same:,}")
    return [phrase("diverged: message {number} ({role}) changed after {where}", **place, where=where), before, after]


def model_line(earlier: Exchange, later: Exchange, comparison: Comparison) -> Phrase:
    """Return the line about the two models."""
    if comparison.same_model:
        return phrase("model: {name}, the same", name=later.model_requested)
    names = {"before": earlier.model_requested, "after": later.model_requested}
    return phrase("model: {before} -> {after}: models do not share caches", **names)


def cost_lines(
    cost: Cost, block: int = BLOCK, price: tuple[float, str] | None = None, cause: Cause = "changed"
) -> list[Phrase]:
    """Return the lines about tokens, and what they cost."""
    if cost.prompt is None or cost.possible is None or cost.lost is None:
        return [phrase("tokens: unknown, one of the two calls has no usage")]
    counts = {"cached": f"{cost.cached:,}", "prompt": f"{cost.prompt:,}"}
    if cause == "other model":
        return [phrase("tokens: {cached} of {prompt} were cached", **counts)]
    template = TOKENS_IF_ENDED if cause == "not ended" else TOKENS_IF_STAYED
    blocks = blocks_phrase(cost.possible, block)
    cost_report = [phrase(template, **counts, possible=f"{cost.possible:,}", blocks=blocks)]
    if not cost.lost:
        return [*cost_report, phrase("cost: nothing")]
    money = phrase(": {amount}", amount=f"{amount(price[0])} {price[1]}") if price else NOTHING
    return [
        *cost_report,
        phrase("cost: {count} tokens that were not cached{money}", count=f"{cost.lost:,}", money=money),
    ]


def blocks_phrase(tokens: int, block: int = BLOCK) -> Phrase:
    """Return the number of blocks in brackets; empty for an API without blocks."""
    if block <= 1:
        return NOTHING
    count = tokens // block
    return phrase(
        " (1 block of {size})" if count == 1 else " ({count} blocks of {size})", count=f"{count:,}", size=block
    )


def document(finding: Finding) -> dict[str, object]:
    """Return the report for programs."""
    money, currency = finding.price or (None, None)
    return {
        "id": finding.later.id,
        "earlier_id": finding.earlier.id,
        "messages": len(finding.request.messages),
        **asdict(finding.comparison),
        "cache_outcome": finding.later.cache_outcome,
        "context_cache_id": finding.later.context_cache_id,
        "tokens": asdict(finding.cost),
        "seconds": round(finding.seconds, 3),
        "ttl": finding.before.ttl,
        "cause": finding.cause,
        "cost": money,
        "currency": currency,
        "cache_miss_reason": finding.api_reason,
    }
