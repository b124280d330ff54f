"""Print calls as they end, until interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import click

from moonpalace_cli.output import is_terminal, print_json, terminal_width
from moonpalace_cli.views.listing.listed import complete
from moonpalace_cli.views.listing.printing import json_line, needs_of, table_row
from moonpalace_cli.views.listing.running_table import RunningTable

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
