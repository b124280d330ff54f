"""Show what calls cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from moonpalace_addons.views.money import amount
from moonpalace_cli.views.listing.layout import lay_out

if TYPE_CHECKING:
    from moonpalace_addons.store.read.costs import Spent

TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")
AMOUNTS = ("cost_input", "cost_cached", "cost_output", "cost", "cost_saved")
HEADERS = ("calls", "prompt", "cached", "completion", "for input", "for cached", "for output", "cost", "saved", "in")
DIGITS = 9
"""Decimals of an amount in JSON."""


def table(by: str, groups: Sequence[Spent], width: int | None) -> str:
    """Return a table of groups, and for each currency a line for all."""
    rows = [row(group.name or f"(no {by})", group) for group in groups]
    for currency, group in sums(groups).items():
        if sum(each.currency == currency for each in groups) > 1:
            rows.append(row("all calls" if currency else "without a cost", group))
    return lay_out((by, *HEADERS), rows, width, right=HEADERS[:-1])


def sums(groups: Sequence[Spent]) -> dict[str | None, Spent]:
    """Return the sum of the groups of each currency."""
    from moonpalace_addons.store.read.costs import Spent  # it imports SQLAlchemy

    found: dict[str | None, Spent] = {}
    for group in groups:
        found.setdefault(group.currency, Spent(None, group.currency)).add(group)
    return found


def row(name: str, group: Spent) -> list[str]:
    """Return the cells of a group; without a currency, no amounts."""
    tokens = [f"{getattr(group, column):,}" for column in TOKENS]
    amounts = [amount(getattr(group, column)) if group.currency else "" for column in AMOUNTS]
    return [name, f"{group.calls:,}", *tokens, *amounts, group.currency or ""]


def document(by: str, group: Spent) -> dict[str, object]:
    """Return a group for JSON; amounts are null without a currency."""
    values = asdict(group)
    amounts = {name: round(values[name], DIGITS) if group.currency else None for name in AMOUNTS}
    return {
        by: group.name,
        "currency": group.currency,
        **{name: values[name] for name in ("calls", *TOKENS)},
        **amounts,
    }
