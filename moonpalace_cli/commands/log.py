"""`mpal log`: the newest calls as one line each, newest last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from moonpalace_cli.flags.colour import colour_flag
from moonpalace_cli.flags.filters import Filters, filter_flags
from moonpalace_cli.flags.forms import form_flags
from moonpalace_cli.flags.lookup import NOTHING_STORED, is_empty, opened
from moonpalace_cli.flags.numbers import WholeNumber
from moonpalace_cli.flags.setting_flags import setting_flags
from moonpalace_cli.output import terminal_width
from moonpalace_cli.text.records import Form
from moonpalace_cli.views.listing.actions import (
    MAX_LIMIT,
    NO_CALLS,
    Selection,
    first_calls,
    follow,
    print_lines,
    print_none,
    tell_units,
)

if TYPE_CHECKING:
    from moonpalace_addons.settings.values import Settings


@click.command("log")
@click.option(
    "-n",
    "--n",
    "limit",
    type=WholeNumber(0, MAX_LIMIT),
    default=20,
    show_default=True,
    help="Calls to show; 0 shows all.",
)
@click.option("-f", "--follow", "follows", is_flag=True, help="Keep running, and print each call as it ends.")
@filter_flags
@form_flags
@colour_flag
@setting_flags("database")
def command(limit: int, follows: bool, filters: Filters, form: Form, settings: Settings) -> None:
    """Show the newest calls as one line each, the newest last.

    A line has the time, the call's number, the model, how the call ended, prompt and completion tokens (and how many of
    the prompt were cached), the time to the first token of a stream, the whole time, and the user's last words:

    \b
      12:33:32 #110 kimi-k2.6 stream stop 7.4k→45 (6.9k cached) 2.1s "why does…"
      12:34:05 #111 kimi-k2.6 stream cut by max_tokens 812→256 4.0s "write a…"

    On a narrow terminal, a line keeps only its most important parts. mpal show 110 says more about a call.

    In a Chinese locale the line says how the call ended in Chinese; --json is always in English.
    """  # noqa: D301 - the backspace keeps click from filling the paragraph
    most = limit or None
    if not (follows or filters.predicates) and is_empty(settings.database):
        print_none(form, NOTHING_STORED)
        return
    from moonpalace_cli.views.listing.lines import Lines

    with opened(settings.database) as engine:
        lines = Lines(engine, terminal_width)
        selection = Selection(chat_only=False, where=filters.condition(engine))
        if follows:
            if form in ("json", "csv", "yaml"):
                raise click.UsageError(f"--follow never ends: use -o jsonl, not {form}")
            follow(engine, selection, (), most, lines, as_json=form == "jsonl")
        calls = first_calls(engine, selection, most, None)[::-1]
        if calls:
            print_lines(engine, calls, form, lines)
        else:
            print_none(form, NO_CALLS if filters.predicates else NOTHING_STORED)
        tell_units(filters.predicates, found_any=bool(calls))
