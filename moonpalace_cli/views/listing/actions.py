"""The actions of `mpal list`: list, count, statistics, follow, export."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from moonpalace_addons.wire.escaping import escaped
from moonpalace_cli.output import is_terminal, is_utf8, note, terminal_width, visible
from moonpalace_cli.text.records import print_object, print_records
from moonpalace_cli.views.listing.columns import DEFAULT, VERBOSE, Column, chosen
from moonpalace_cli.views.listing.printing import print_calls, print_table, print_verbose, record_columns

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Engine

    from moonpalace_addons.store.field import Field
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_cli.text.records import Form
    from moonpalace_cli.views.listing.lines import Lines

MAX_LIMIT = 2**31 - 1
WATCH_INTERVAL = 0.2
"""Seconds between polls: short enough to seem immediate, at the cost of a pragma on SQLite and a short query elsewhere.
"""

NO_CALLS = "no calls match"
LONG = 1.0
"""Seconds after which a command says why it took long."""

type Order = tuple[Field, bool] | None
"""The field to sort by, and whether the order is descending."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The requested calls."""

    chat_only: bool
    where: ColumnElement[bool] | None


def tell_units(predicates: tuple[str, ...], *, found_any: bool) -> None:
    """Print the default unit of numbers on standard error, if nothing was found or the unit is implausible."""
    if not predicates:
        return
    from moonpalace_addons.store.query.parser import parse
    from moonpalace_addons.store.query.units import remark

    if note_text := remark([parse(text) for text in predicates], only_implausible=found_any):
        note(visible(note_text))


def columns_of(names: tuple[str, ...], *, as_json: bool) -> tuple[Column, ...]:
    """Return the columns of these names, or the default ones."""
    return chosen(names) if names else record_columns() if as_json else chosen(DEFAULT)


def first_calls(engine: Engine, selection: Selection, limit: int | None, order: Order) -> list[Exchange]:
    """Return the first calls in this order, without one the newest."""
    from moonpalace_addons.store.records import exchanges, ordering

    return exchanges.latest(
        engine,
        limit=limit,
        chat_only=selection.chat_only,
        where=selection.where,
        order=() if order is None else ordering.order_by(order[0], descending=order[1]),
    )


def export(
    engine: Engine, calls: Sequence[Exchange], folder: Path, *, pattern: str | None, redact: bool, escaped: bool
) -> None:
    """Export the calls into a folder."""
    from moonpalace_cli.export.running import export_listed

    if calls:
        ids = [exchange.id for exchange in calls]
        export_listed(engine, ids, folder, pattern=pattern, redact=redact, escaped=escaped)


def print_empty_list(columns: tuple[str, ...], form: Form, *, verbose: bool, why: str) -> None:
    """Explain on a terminal why the list is empty; a pipe gets the documented empty table."""
    if form != "table":
        print_records((), form)
    elif is_terminal():
        click.echo(why)
    else:
        print_table((), columns_of(VERBOSE if verbose else columns, as_json=False))


def print_list(
    engine: Engine, calls: Sequence[Exchange], columns: tuple[str, ...], form: Form, *, verbose: bool
) -> None:
    """Print the calls."""
    if verbose and form == "table":
        print_verbose(engine, calls)
    else:
        print_calls(engine, calls, columns_of(columns, as_json=form != "table"), form)


def print_lines(engine: Engine, calls: Sequence[Exchange], form: Form, lines: Lines) -> None:
    """Print the calls as one line each."""
    if form == "table":
        lines.add(calls)
    else:
        print_calls(engine, calls, record_columns(), form)


def print_none(form: Form, why: str) -> None:
    """Print no lines, and on standard error the reason."""
    if form == "table":
        note(why)
    else:
        print_records((), form)


def warn_of_full_scan(order: Order, took: float) -> None:
    """Explain on standard error that sorting had to read all calls, if that took long; `took` is in seconds."""
    from moonpalace_addons.store.records import ordering

    if order is not None and took > LONG and not ordering.is_indexed(order[0]):
        note("no index serves this order: every call was read")


def print_count(engine: Engine, selection: Selection, form: Form) -> int:
    """Print the number of calls, and return it."""
    from moonpalace_addons.store.records import exchanges

    number = exchanges.count(engine, chat_only=selection.chat_only, where=selection.where)
    if form == "table":
        click.echo(number)
    else:
        print_object({"count": number}, form)
    return number


def print_stats(engine: Engine, selection: Selection, limit: int | None, form: Form) -> None:
    """Print statistics of the calls; as CSV, one row for each model."""
    from moonpalace_addons.store.read import statistics
    from moonpalace_cli.views.listing import stats

    groups = stats.add_up(
        statistics.measured(
            engine,
            stats.MEASURED,
            chat_only=selection.chat_only,
            where=selection.where,
            limit=limit,
        )
    )
    if form == "table":
        click.echo(escaped(stats.report(groups, terminal_width(), blocks=is_utf8())))
    elif form == "csv":
        print_records((json.dumps(each, ensure_ascii=False) for each in stats.records(groups)), form)
    else:
        print_object(stats.document(groups), form)


def follow(
    engine: Engine, selection: Selection, columns: tuple[Column, ...], limit: int | None, lines: Lines, *, as_json: bool
) -> None:
    """Print calls as they end: as one line each, or with their columns."""
    from moonpalace_addons.store.read.following import Follower
    from moonpalace_cli.views.listing.watching import JsonLines, Rows, watch

    with Follower(engine, chat_only=selection.chat_only, where=selection.where) as follower:
        first = follower.earlier(limit)
        printed = (
            JsonLines(engine, columns or record_columns())
            if as_json
            else Rows(engine, columns, first)
            if columns
            else lines
        )
        watch(follower, printed, first, pause=lambda: time.sleep(WATCH_INTERVAL))
