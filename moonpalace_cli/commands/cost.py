"""`mpal cost`: what calls cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import click

from moonpalace_cli.flags.filters import Filters, filter_flags
from moonpalace_cli.flags.forms import form_flags
from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.setting_flags import setting_flags
from moonpalace_cli.output import is_terminal, note, terminal_width, visible
from moonpalace_cli.text.records import Form, print_records
from moonpalace_cli.views import costs

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Engine

    from moonpalace_addons.settings.values import Settings
    from moonpalace_addons.store.read.costs import By, Spent
    from moonpalace_cli.views.context_caches.misses import Lost

GROUPS = ("model", "day", "tag", "session", "endpoint")
WITHOUT_COST = (
    "no cost for {} with tokens: their price is unknown (set it under prices: in config.yaml), or was set after them "
    "(mpal cost --reprice)"
)


@click.command("cost")
@click.option(
    "--by",
    type=click.Choice(GROUPS),
    default="model",
    show_default=True,
    help="Add up by model, local day, tag, session of the client, or endpoint.",
)
@click.option(
    "--sort",
    "order",
    metavar="[-]NAME",
    type=click.Choice([sign + name for name in costs.SORTS for sign in ("", "-")]),
    help=f"Sort by {', '.join(costs.SORTS[:-1])} or {costs.SORTS[-1]}; with a minus the greatest come first.",
)
@filter_flags
@click.option("--reprice", is_flag=True, help="First calculate the costs of these calls again, at today's prices.")
@click.option("--misses", is_flag=True, help="Also compare the prompts of these calls, and add what cache misses cost.")
@form_flags
@setting_flags("database", "endpoints", "prices")
def command(
    *, by: str, order: str | None, filters: Filters, reprice: bool, misses: bool, form: Form, settings: Settings
) -> None:
    """Add up the cost of calls, separately for each currency.

    The cost has three parts: prompt tokens that were not cached, cached ones, and completion tokens. "saved" is how
    much more the cached tokens would have cost without the cache. Prices are those of config.yaml, else the API's own
    figure, else those that come with MoonPalace; calls to hosts and models that it does not know have no cost. A call
    with several tags counts under each of them. Tables count calls without a cost in the row of their name, if it has
    one; a narrow terminal shows fewer columns.

    --misses adds the cost of prompts that could have been cached but were not, by cause (in JSON as objects with
    "misses"); mpal cache why ranks them. This reads the prompts of all these calls, which takes ten seconds for a
    thousand long ones.
    """
    if misses and form == "csv":
        raise click.UsageError("--misses has columns of its own: use -o json, or mpal cache why --all -o csv")
    with opened(settings.database) as engine:
        where = filters.condition(engine)
        if reprice:
            work_out_again(engine, settings, where)
        from moonpalace_addons.store.read.costs import spent

        groups = spent(engine, cast("By", by), where)
        groups = costs.in_order(groups, order) if order else groups
        missed = missed_sums(engine, where) if misses else []
    if form != "table":
        records = [costs.document(by, group) for group in groups] + [each.document() for each in missed]
        print_records((json.dumps(record, ensure_ascii=False) for record in records), form)
        return
    click.echo(visible(costs.table(by, groups, terminal_width())))
    for line in [str(each) for each in missed] or ["no misses"] * misses:
        click.echo(visible(line))
    tell_of_unknown(groups)


def tell_of_unknown(groups: list[Spent]) -> None:
    """Print on standard error how many calls with tokens have no cost."""
    count = sum(group.with_tokens for group in groups if group.currency is None)
    if count:
        note(WITHOUT_COST.format(f"{count:,} {'call' if count == 1 else 'calls'}"))


def missed_sums(engine: Engine, where: ColumnElement[bool] | None) -> list[Lost]:
    """Return the cost of cache misses, in total and by cause; empty without misses."""
    from moonpalace_addons.store.read.selection import chosen_ids
    from moonpalace_cli.views.context_caches import misses

    return misses.sums(misses.survey(engine, chosen_ids(engine, where)).misses)


def work_out_again(engine: Engine, settings: Settings, where: ColumnElement[bool] | None) -> None:
    """Price the matching calls, and print on standard error how many costs have changed."""
    from moonpalace_addons.store.pricing.pricing import Pricing
    from moonpalace_addons.store.pricing.repricing import reprice

    last = (0, 0)
    for last in reprice(engine, Pricing(settings.prices), where):
        if is_terminal():
            click.echo(f"\r{last[0]:,} calls\r", nl=False, err=True)
    click.echo(f"{last[1]:,} of {last[0]:,} costs have changed", err=True)
