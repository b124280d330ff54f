"""Find what calls continue, and rank them by what it cost that their prompts were not cached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from moonpalace_addons.store.read import conversations, selection
from moonpalace_addons.store.records import contents
from moonpalace_addons.views.money import amount
from moonpalace_cli.views.context_caches.causes import said_by_api
from moonpalace_cli.views.context_caches.prefix_comparison import choose
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
"""Prompts kept in memory, since calls that follow one another are compared with the same ones."""

HEADERS = ("id", "model", "cause", "prompt", "cached", "lost", "cost", "continues", "s", "diverged")


class Prompts:
    """The prompts of stored calls, the last ones kept."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._read = lru_cache(KEPT_PROMPTS)(self._from_store)

    def _from_store(self, call_id: int, path: str) -> tuple[Request | None, str | None]:
        bodies = contents.bodies(self.engine, call_id)
        return read_request(bodies.request or b"", path), said_by_api(bodies.response or b"")

    def of(self, call: Exchange) -> Request | None:
        """Return the prompt of a call, None if it is of no face whose prompts are known."""
        return self._read(call.id, call.path)[0]

    def found(self, call: Exchange, *, limit: int = MAX_EARLIER_CALLS) -> Finding | None:
        """Return what comparing a call with the one that it continues gives; None if there is none."""
        request, said = self._read(call.id, call.path)
        if request is None:
            return None
        earlier = conversations.earlier_calls(self.engine, call, limit=limit)  # the newest first
        prompts = ((each, self.of(each)) for each in earlier)
        chosen = choose(request, ((each, prompt) for each, prompt in prompts if prompt is not None))
        return None if chosen is None else find(chosen[0], call, chosen[1], request, said)


def findings(engine: Engine, ids: Sequence[int]) -> Iterator[Finding]:
    """Yield what is found for each of these calls that continues another one."""
    prompts = Prompts(engine)
    for call in selection.in_order(engine, ids):
        if is_known(call.path) and (found := prompts.found(call)) is not None:
            yield found


def ranked(found: Iterator[Finding]) -> list[Finding]:
    """Return the misses, those that cost most first; where prices are unknown, those that lost most tokens."""
    missed = (each for each in found if each.cost.lost)
    return sorted(missed, key=lambda each: (-(each.price or (0.0, ""))[0], -(each.cost.lost or 0), each.later.id))


def table(misses: Sequence[Finding], width: int | None) -> str:
    """Return a table of misses."""
    return lay_out(HEADERS, [row(each) for each in misses], width, right=("prompt", "cached", "lost", "cost", "s"))


def row(found: Finding) -> list[str]:
    """Return the cells of a miss."""
    cost, place = found.cost, found.comparison.divergence
    where = f"message {place.number} {place.kind}" if place else "" if found.comparison.same_tools else "tools"
    money = f"{amount(found.price[0])} {found.price[1]}" if found.price else ""
    counts = [f"{number:,}" for number in (cost.prompt or 0, cost.cached, cost.lost or 0)]
    model = found.later.model_requested or ""
    return [
        *(str(found.later.id), model, found.said or found.cause, *counts, money),
        *(str(found.earlier.id), f"{found.seconds:,.0f}", where),
    ]


@dataclass(frozen=True, slots=True)
class Lost:
    """What misses have lost; `name` is their cause, amounts are by currency."""

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
    """Return what all misses have lost, and those of each cause; nothing without misses."""
    causes = Counter(each.cause for each in misses)
    by_cause = [lost(cause, [each for each in misses if each.cause == cause]) for cause, _ in causes.most_common()]
    return [lost("all misses", misses), *by_cause] if misses else []


def lost(name: str, misses: Sequence[Finding]) -> Lost:
    """Return what misses have lost."""
    money: dict[str, float] = {}
    for value, currency in filter(None, (each.price for each in misses)):
        money[currency] = money.get(currency, 0.0) + value
    return Lost(name, len(misses), sum(each.cost.lost or 0 for each in misses), money)
