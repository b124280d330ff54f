"""Parse options that take a time."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from moonpalace_addons.store.query import times


def parse_moment(context: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    """Return the start of the period that the text names, with its time zone."""
    try:
        return None if text is None else times.since(text, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error
