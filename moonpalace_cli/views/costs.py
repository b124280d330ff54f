"""Show what calls cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from moonpalace_addons.views import call_line
from moonpalace_addons.views.money import amount
from moonpalace_cli.views.listing.layout import fits, lay_out

if TYPE_CHECKING:
    from moonpalace_addons.store.read.costs import Spent

TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")
AMOUNTS = ("cost_input", "cost_cached", "cost_output", "cost", "cost_saved")
HEADERS = ("calls", "prompt", "cached", "completion", "for input", "for cached", "for output", "cost", "saved", "in")
SHORT = {"completion": "output"}
PARTS = ("for input", "for cached", "for output")
"""Columns that a narrow terminal does not show."""
SORTS = ("name", "calls", *TOKENS, *AMOUNTS)
"""The properties by which groups can be sorted."""
DIGITS = 9
"""Decimals of an amount in JSON."""


def table(by: str, groups: Sequence[Spent], width: int | None) -> str:
    """Return a table of groups with a total for each currency, without columns that are empty in all lines.

    A name has a line for each currency; its calls without a cost are counted in the first.
    """
    lines = folded(groups)
    names = [group.name or f"(no {by})" for group in lines]
    for currency, group in sums(lines).items():
        if sum(each.currency == currency for each in lines) > 1:
            lines.append(group)
            names.append("total" if currency else "no cost")
    rows = [row(name, group) for name, group in zip(names, lines, strict=True)]
    headers, rows = without_columns((by, *HEADERS), rows, empty_columns(rows))
    if width is not None and not fits(headers, rows, width):
        rows = [row(name, group, count=call_line.amount) for name, group in zip(names, lines, strict=True)]
        headers, rows = without_columns((by, *HEADERS), rows, {*empty_columns(rows), *PARTS})
        headers = [SHORT.get(header, header) for header in headers]
    right = [header for header in headers[1:] if header != "in"]
    return lay_out((by if by == "day" else "model", *headers[1:]), rows, width, headers, right)


def folded(groups: Sequence[Spent]) -> list[Spent]:
    """Return copies of the groups; those without a cost are added to the first of the same name that has one."""
    lines = [replace(group) for group in groups]
    first = {group.name: group for group in reversed(lines) if group.currency}
    for group in lines:
        if group.currency is None and group.name in first:
            first[group.name].add(group)
    return [group for group in lines if group.currency or group.name not in first]


def in_order(groups: Sequence[Spent], order: str) -> list[Spent]:
    """Return the groups sorted by one of `SORTS`, descending after a minus; those without an amount come last."""
    name = order.removeprefix("-")
    there = [group for group in groups if group.currency or name not in AMOUNTS]
    ordered = sorted(
        there, key=lambda group: (getattr(group, name) is not None, getattr(group, name)), reverse=order.startswith("-")
    )
    return ordered + [group for group in groups if group not in there]


def sums(groups: Sequence[Spent]) -> dict[str | None, Spent]:
    """Return the total for each currency."""
    from moonpalace_addons.store.read.costs import Spent  # it imports SQLAlchemy

    totals: dict[str | None, Spent] = {}
    for group in groups:
        totals.setdefault(group.currency, Spent(None, group.currency)).add(group)
    return totals


def row(name: str, group: Spent, count: Callable[[int], str] = "{:,}".format) -> list[str]:
    """Return the cells of a group; without a currency, no amounts."""
    tokens = [count(getattr(group, column)) for column in TOKENS]
    amounts = [amount(getattr(group, column)) if group.currency else "" for column in AMOUNTS]
    return [name, f"{group.calls:,}", *tokens, *amounts, group.currency or ""]


def empty_columns(rows: Sequence[Sequence[str]]) -> set[str]:
    """Return the columns that are empty in all rows."""
    cells = zip(*(line[1:] for line in rows), strict=True)
    return {header for header, column in zip(HEADERS, cells, strict=False) if not any(column)}


def without_columns(
    headers: Sequence[str], rows: Sequence[Sequence[str]], hidden: set[str]
) -> tuple[list[str], list[list[str]]]:
    """Return headers and rows without these columns."""
    visible_columns = [place for place, header in enumerate(headers) if header not in hidden]
    return [headers[place] for place in visible_columns], [[line[place] for place in visible_columns] for line in rows]


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
