"""Print calls as they end, until interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import click

from moonpalace_addons.store.fields import FIELDS
from moonpalace_cli.output import is_terminal, print_json, terminal_width
from moonpalace_cli.text.tables import frame_width, natural_widths, row_lines, rule
from moonpalace_cli.views.listing.layout import block, fit, fitted, one_line, right_places, shorten_cell
from moonpalace_cli.views.listing.listed import complete
from moonpalace_cli.views.listing.printing import json_line, needs_of, table_row

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.read.following import Follower
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_cli.views.listing.columns import Column


class Printed(Protocol):
    """An output for calls as they end."""

    def add(self, exchanges: Sequence[Exchange]) -> None:
        """Print these calls."""

    def end(self) -> None:
        """Print the lines below the last call."""


def watch(follower: Follower, printed: Printed, first: Sequence[Exchange], *, pause: Callable[[], None]) -> None:
    """Print the `first` calls, then each one as it ends; `pause` is called between polls and may end it."""
    try:
        printed.add(first)
        while True:
            sys.stdout.flush()
            pause()
            printed.add(follower.ended())
    except KeyboardInterrupt:
        printed.end()
        raise


class JsonLines:
    """Print an object for each call."""

    def __init__(self, engine: Engine, columns: Sequence[Column]) -> None:
        self._engine = engine
        self._columns = columns

    def add(self, exchanges: Sequence[Exchange]) -> None:
        """Print these calls."""
        for call in complete(self._engine, exchanges, needs_of(self._columns)):
            print_json(json_line(call, self._columns))

    def end(self) -> None:
        """Do nothing: every line is complete."""


class Rows:
    """Print a table that grows."""

    def __init__(self, engine: Engine, columns: Sequence[Column], first: Sequence[Exchange]) -> None:
        self._engine = engine
        self._columns = columns
        rows = [table_row(call, columns) for call in complete(engine, first, needs_of(columns))]
        self._table = RunningTable([column.name for column in columns], rows, terminal_width())
        if head := self._table.head():
            click.echo(head)

    def add(self, exchanges: Sequence[Exchange]) -> None:
        """Print rows for these calls."""
        for call in complete(self._engine, exchanges, needs_of(self._columns)):
            click.echo(self._table.row(table_row(call, self._columns)))

    def end(self) -> None:
        """Close the frame."""
        if foot := self._table.foot():
            # The terminal has printed ^C: the frame overwrites it.
            click.echo(("\r" if is_terminal() else "") + foot)


MIN_WIDTH = 8


class RunningTable:
    """A table laid out by its first rows and the expected widths; in a pipe, a wider cell only shifts its own row."""

    def __init__(self, columns: Sequence[str], first: Sequence[Sequence[str]], width: int | None) -> None:
        self._columns = columns
        self._is_fixed = width is not None
        widths = natural_widths(columns, first)
        natural = [max(there, FIELDS[column].width) for there, column in zip(widths, columns, strict=True)]
        self._widths: list[int] | None = natural
        if width is not None and sum(natural) + frame_width(len(columns)) > width:
            self._widths = fitted(columns, natural, width, MIN_WIDTH)

    def head(self) -> str:
        """Return the lines above the rows; empty if each row is a block."""
        if self._widths is None:
            return ""
        frame = rule(self._widths)
        return "\n".join([frame, self._line(self._columns), frame])

    def row(self, cells: Sequence[str]) -> str:
        """Return a row."""
        return block(self._columns, cells) + "\n" if self._widths is None else self._line(cells)

    def foot(self) -> str:
        """Return the lines below the rows."""
        return "" if self._widths is None else rule(self._widths)

    def _line(self, cells: Sequence[str]) -> str:
        widths = self._widths or []
        lines = [
            [shorten_cell(one_line(cell), fit(column), width)] if self._is_fixed else cell.split("\n")
            for cell, column, width in zip(cells, self._columns, widths, strict=True)
        ]
        return row_lines(lines, widths, right_places(self._columns))
