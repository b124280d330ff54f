"""Print the calls of `mpal list`: a table, or one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from moonpalace_addons.wire.json_text import Json, Verbatim
from moonpalace_cli.output import terminal_width, visible
from moonpalace_cli.text.records import Form, print_records
from moonpalace_cli.views.listing.columns import BY_NAME, LABELS, RECORD, VERBOSE, Column, cells, chosen, record
from moonpalace_cli.views.listing.layout import lay_out
from moonpalace_cli.views.listing.listed import Listed, complete

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.exchanges import Exchange


def needs_of(columns: Iterable[Column]) -> set[str]:
    """Return what must be read for these columns beside the rows of the calls."""
    return {column.needs for column in columns}


def print_calls(engine: Engine, exchanges: Sequence[Exchange], columns: Sequence[Column], form: Form) -> None:
    """Print the calls."""
    calls = complete(engine, exchanges, needs_of(columns))
    if form != "table":
        print_records((json_line(call, columns) for call in calls), form)
        return
    click.echo(
        lay_out([column.name for column in columns], [table_row(call, columns) for call in calls], terminal_width())
    )


def print_verbose(engine: Engine, exchanges: Sequence[Exchange]) -> None:
    """Print the documented table of --verbose, with the labels where one of the calls has any."""
    calls = list(complete(engine, exchanges, {"tags"}))
    is_labelled = any(call.tags or call.exchange.category for call in calls)
    columns = chosen((*VERBOSE, *LABELS) if is_labelled else VERBOSE)
    click.echo(
        lay_out([column.name for column in columns], [table_row(call, columns) for call in calls], terminal_width())
    )


def table_row(call: Listed, columns: Sequence[Column]) -> list[str]:
    """Return the cells of a row, harmless for a terminal."""
    return [visible(cell) for cell in cells(call, columns)]


def json_line(call: Listed, columns: Sequence[Column]) -> str:
    """Return the call as JSON in one line."""
    members = (f"{json.dumps(name)}: {one_line(value)}" for name, value in record(call, columns).items())
    return "{" + ", ".join(members) + "}"


def one_line(value: Json) -> str:
    """Return a value as JSON in one line; bodies keep their own numbers and keys."""
    if isinstance(value, Verbatim):
        return value.text.replace("\r", " ").replace("\n", " ")  # outside strings: inside there are none
    return json.dumps(value, ensure_ascii=False)


def record_columns() -> tuple[Column, ...]:
    """Return the columns of --json where none are chosen."""
    return tuple(BY_NAME[name] for name in RECORD)
