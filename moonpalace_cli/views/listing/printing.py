"""Print the calls of `mpal list`: a table, or one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from moonpalace_addons.wire.json_text import Json, Verbatim
from moonpalace_cli.output import is_terminal, terminal_width, visible
from moonpalace_cli.text import colours
from moonpalace_cli.text.records import Form, print_records
from moonpalace_cli.views.listing.columns import BY_NAME, LABELS, RECORD, VERBOSE, Column, chosen, record
from moonpalace_cli.views.listing.layout import lay_out
from moonpalace_cli.views.listing.listed import Listed, complete

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.exchanges import Exchange


OUTCOMES = ("status", "state")
"""Fields that describe how a call ended."""


def needs_of(columns: Iterable[Column]) -> set[str]:
    """Return the data besides the rows that these columns need."""
    return {column.needs for column in columns}


def print_calls(engine: Engine, exchanges: Sequence[Exchange], columns: Sequence[Column], form: Form) -> None:
    """Print the calls."""
    calls = complete(engine, exchanges, needs_of(columns))
    if form != "table":
        print_records((json_line(call, columns) for call in calls), form)
        return
    print_table(calls, columns)


def print_verbose(engine: Engine, exchanges: Sequence[Exchange]) -> None:
    """Print the documented table of --verbose, with the labels if any of the calls has some."""
    calls = list(complete(engine, exchanges, {"tags"}))
    is_labelled = any(call.tags or call.exchange.category for call in calls)
    columns = chosen((*VERBOSE, *LABELS) if is_labelled else VERBOSE)
    print_table(calls, columns)


def print_table(calls: Iterable[Listed], columns: Sequence[Column]) -> None:
    """Print a table; a terminal gets times as the time since."""
    rows = [table_row(call, columns, relative=is_terminal()) for call in calls]
    click.echo(lay_out([column.name for column in columns], rows, terminal_width()))


def table_row(call: Listed, columns: Sequence[Column], *, relative: bool = False) -> list[str]:
    """Return the cells of a row, safe for a terminal, with the outcome in colour."""
    cells = [visible(localized(column, column.cell(call, relative=relative))) for column in columns]
    if not colours.wanted():
        return cells
    from moonpalace_addons.store.read.outcomes import outcome  # 0.01 s

    style = colours.OUTCOMES.get(outcome(call.exchange).style, "")
    return [
        colours.paint(cell, style) if column.field.name in OUTCOMES else cell
        for cell, column in zip(cells, columns, strict=True)
    ]


def localized(column: Column, cell: str) -> str:
    """Return a cell in the language of the terminal; only warnings are translated."""
    if column.field.name != "warnings" or not cell:
        return cell
    from moonpalace_cli.explaining.language import terminal_language
    from moonpalace_cli.views.showing.phrases import translated

    return "\n".join(translated(line, terminal_language()) for line in cell.split("\n"))


def json_line(call: Listed, columns: Sequence[Column]) -> str:
    """Return the call as JSON in one line."""
    members = (f"{json.dumps(name)}: {one_line(value)}" for name, value in record(call, columns).items())
    return "{" + ", ".join(members) + "}"


def one_line(value: Json) -> str:
    """Return a value as JSON in one line; bodies keep their own numbers and keys."""
    if isinstance(value, Verbatim):
        return value.text.replace("\r", " ").replace("\n", " ")  # outside strings: within them there are none
    return json.dumps(value, ensure_ascii=False)


def record_columns() -> tuple[Column, ...]:
    """Return the default columns of --json."""
    return tuple(BY_NAME[name] for name in RECORD)
