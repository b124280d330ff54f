"""Find the calls that calls continue, and rank cache misses by cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from moonpalace_addons.store.read import conversations, selection
from moonpalace_addons.store.records import contents
from moonpalace_addons.views.money import amount
from moonpalace_cli.views.context_caches.causes import LONG_PROMPT, had_ended, said_by_api
from moonpalace_cli.views.context_caches.choosing import choose
from moonpalace_cli.views.context_caches.prefix_report import Finding, find
from moonpalace_cli.views.context_caches.prompts import Request, is_known, read_request
from moonpalace_cli.views.costs import DIGITS
from moonpalace_cli.views.listing.layout import lay_out

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.exchanges import Exchange

MAX_EARLIER_CALLS = 50
"""Maximum earlier calls compared to find the one that a call continues."""
KEPT_PROMPTS = 2 * MAX_EARLIER_CALLS
"""Prompts cached in memory, because consecutive calls are compared with the same ones."""

HEADERS = ("id", "model", "cause", "prompt", "cached", "lost", "cost", "continues", "s", "diverged")


class Prompts:
    """The prompts of stored calls; the latest ones are cached."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._read = lru_cache(KEPT_PROMPTS)(self._from_store)

    def _from_store(self, call_id: int, path: str) -> tuple[Request | None, str | None]:
        bodies = contents.bodies(self.engine, call_id)
        return read_request(bodies.request or b"", path), said_by_api(bodies.response or b"")

    def of(self, call: Exchange) -> Request | None:
        """Return the prompt of a call; None if prompts of its path cannot be read."""
        return self._read(call.id, call.path)[0]

    def found(self, call: Exchange, *, limit: int = MAX_EARLIER_CALLS) -> Finding | None:
        """Compare a call with the one that it continues; return None if there is none."""
        request, reason = self._read(call.id, call.path)
        if request is None:
            return None
        earlier = conversations.earlier_calls(self.engine, call, limit=limit)  # the newest first
        prompts = ((each, self.of(each)) for each in earlier)
        chosen = choose(
            request,
            ((each, prompt) for each, prompt in prompts if prompt is not None),
            lambda each: had_ended(each, call) and each.prompt_tokens is not None,
        )
        return None if chosen is None else find(chosen[0], call, chosen[1], request, reason)


@dataclass(slots=True)
class Survey:
    """The findings for many calls; calls that share no beginning with an earlier call are only counted."""

    found: list[Finding]
    unshared_calls: int = 0
    unshared_tokens: int = 0

    @property
    def misses(self) -> list[Finding]:
        """The calls of whose prompts more could have been cached."""
        return [each for each in self.found if each.cost.lost]

    def lines(self) -> list[str]:
        """Return the lines below a table of misses."""
        losses = [str(each) for each in sums(ranked(self.misses))]
        if count := self.unshared_calls:
            calls = "1 call shares" if count == 1 else f"{count:,} calls share"
            losses.append(f"{calls} no beginning with an earlier one: {self.unshared_tokens:,} tokens, none cached")
        return losses


def survey(engine: Engine, ids: Sequence[int]) -> Survey:
    """Compare each of these calls with the one that it continues."""
    prompts, result = Prompts(engine), Survey([])
    for call in selection.in_order(engine, ids):
        if not is_known(call.path):
            continue
        continuation = prompts.found(call)
        if continuation is not None:
            result.found.append(continuation)
        has_none = not call.cached_tokens and (call.prompt_tokens or 0) >= LONG_PROMPT
        if has_none and (continuation is None or not continuation.shares_beginning):
            result.unshared_calls += 1
            result.unshared_tokens += call.prompt_tokens or 0
    return result


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """Return the misses, most expensive first; if prices are unknown, those that lost most tokens first."""
    return sorted(findings, key=lambda each: (-(each.price or (0.0, ""))[0], -(each.cost.lost or 0), each.later.id))


def table(misses: Sequence[Finding], width: int | None) -> str:
    """Return a table of misses."""
    return lay_out(HEADERS, [row(each) for each in misses], width, right=("prompt", "cached", "lost", "cost", "s"))


def row(finding: Finding) -> list[str]:
    """Return the cells of a miss."""
    cost, place = finding.cost, finding.comparison.divergence
    where = f"message {place.number} {place.kind}" if place else "" if finding.comparison.same_tools else "tools"
    money = f"{amount(finding.price[0])} {finding.price[1]}" if finding.price else ""
    counts = [f"{number:,}" for number in (cost.prompt or 0, cost.cached, cost.lost or 0)]
    model = finding.later.model_requested or ""
    return [
        *(str(finding.later.id), model, finding.api_reason or finding.cause, *counts, money),
        *(
            str(finding.earlier.id),
            f"{finding.seconds:.3f}" if finding.seconds < 1 else f"{finding.seconds:,.0f}",
            where,
        ),
    ]


@dataclass(frozen=True, slots=True)
class Lost:
    """The loss through misses; `name` is their cause, amounts are by currency."""

    name: str
    calls: int
    tokens: int
    amounts: dict[str, float]

    def __str__(self) -> str:
        """Return one line."""
        money = "".join(f", {amount(value)} {currency}" for currency, value in sorted(self.amounts.items()))
        return f"{self.name}: {self.calls:,} {'call' if self.calls == 1 else 'calls'}, {self.tokens:,} tokens{money}"

    def document(self) -> dict[str, object]:
        """Return it for JSON."""
        amounts = {currency: round(value, DIGITS) for currency, value in sorted(self.amounts.items())}
        return {"misses": self.name, "calls": self.calls, "lost_tokens": self.tokens, "cost": amounts}


def sums(misses: Sequence[Finding]) -> list[Lost]:
    """Return the loss through all misses, and through those of each cause; nothing without misses."""
    causes = Counter(each.cause for each in misses)
    by_cause = [lost(cause, [each for each in misses if each.cause == cause]) for cause, _ in causes.most_common()]
    return [lost("all misses", misses), *by_cause] if misses else []


def lost(name: str, misses: Sequence[Finding]) -> Lost:
    """Return the loss through these misses."""
    money: dict[str, float] = {}
    for value, currency in filter(None, (each.price for each in misses)):
        money[currency] = money.get(currency, 0.0) + value
    return Lost(name, len(misses), sum(each.cost.lost or 0 for each in misses), money)
