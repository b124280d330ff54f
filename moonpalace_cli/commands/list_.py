"""`mpal list`: list the newest calls."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from moonpalace_cli.flags.colour import colour_flag
from moonpalace_cli.flags.filters import Filters, filter_flags
from moonpalace_cli.flags.forms import form_flags
from moonpalace_cli.flags.lookup import NOTHING_STORED, is_empty, opened
from moonpalace_cli.flags.name_lists import (
    complete_columns,
    complete_order,
    parse_columns,
    parse_order,
)
from moonpalace_cli.flags.numbers import WholeNumber
from moonpalace_cli.flags.paths import GivenPath
from moonpalace_cli.flags.setting_flags import is_given, setting_flags
from moonpalace_cli.output import terminal_width
from moonpalace_cli.text.records import Form
from moonpalace_cli.views.listing.actions import (
    MAX_LIMIT,
    NO_CALLS,
    Order,
    Selection,
    export,
    first_calls,
    follow,
    print_count,
    print_empty_list,
    print_list,
    print_stats,
    tell_units,
    warn_of_full_scan,
)
from moonpalace_cli.views.listing.columns import LABELS, VERBOSE, chosen

if TYPE_CHECKING:
    from moonpalace_addons.settings.values import Settings


@click.command("list")
@click.option(
    "-n",
    "--n",
    "limit",
    type=WholeNumber(0, MAX_LIMIT),
    default=10,
    help="Calls to list; 0 lists all. Default: 10, with --export all.",
)
@click.option("-v", "--verbose", is_flag=True, help="Also show url, method, user_id, content_type, and labels.")
@click.option("--chatonly", "chat_only", is_flag=True, help="List only calls to …/chat/completions.")
@filter_flags
@click.option(
    "--columns",
    metavar="NAMES",
    multiple=True,
    callback=parse_columns,
    shell_complete=complete_columns,
    help="Show these columns, separated by commas: status, model, state, tokens, ttft, tags …; "
    "mpal help columns shows all.",
)
@click.option(
    "--sort",
    "order",
    metavar="[-]NAME",
    callback=parse_order,
    shell_complete=complete_order,
    help="Sort all calls by a column, then list the first; with a minus the greatest come first.",
)
@form_flags
@colour_flag
@click.option("--count", is_flag=True, help="Print only the number of calls.")
@click.option("--stats", is_flag=True, help="Show calls, errors, tokens, costs and times per model.")
@click.option("--watch", is_flag=True, help="Keep running, and print each call as it ends.")
@click.option(
    "--export",
    "--directory",
    "export_to",
    type=GivenPath(path_type=Path),
    metavar="FOLDER",
    help="Also export the calls into a folder, as export --directory does.",
)
@click.option("--escape-html", is_flag=True, help="Escape <, > and & in exported files.")
@click.option("--redact", is_flag=True, help="Replace keys, ids and the like with pseudonyms in exported files.")
@setting_flags("database", "endpoint", "redact-pattern")
@click.pass_context
def command(
    context: click.Context,
    limit: int,
    verbose: bool,
    chat_only: bool,
    filters: Filters,
    columns: tuple[str, ...],
    order: Order,
    form: Form,
    count: bool,
    stats: bool,
    watch: bool,
    export_to: Path | None,
    escape_html: bool,
    redact: bool,
    settings: Settings,
) -> None:
    """List the newest calls.

    The status is the status code of the answer, or for a call without a complete answer its state: in_flight,
    client_disconnected, upstream_failed, timed_out, repeat_interrupted or proxy_died. "200 error" is an answer that
    ended in an error.

    When piped, the table is never cut. On a narrow terminal, ids and texts are shortened (…); if that is not enough,
    each call is printed as a block of lines, with nothing left out.

    --count and --stats cover all calls; with -n, --stats covers the newest N.
    """
    limit_given = context.get_parameter_source("limit") is not ParameterSource.DEFAULT
    most = None if limit == 0 or (export_to is not None and not limit_given) else limit
    refuse_contradictions(context)
    if form in ("json", "csv", "yaml") and watch:
        raise click.UsageError(f"--watch never ends: use -o jsonl, not {form}")
    began = time.monotonic()
    if not (count or stats or watch or filters.predicates) and is_empty(settings.database):
        print_empty_list(columns, form, verbose=verbose, why=NOTHING_STORED)
        return
    with opened(settings.database) as engine:
        selection = Selection(chat_only, filters.condition(engine))
        if count:
            tell_units(filters.predicates, found_any=print_count(engine, selection, form) > 0)
        elif stats:
            print_stats(engine, selection, most if limit_given else None, form)
        elif watch:
            chosen_columns = chosen(columns or ((*VERBOSE, *LABELS) if verbose else ()))
            from moonpalace_cli.views.listing.lines import Lines

            follow(engine, selection, chosen_columns, most, Lines(engine, terminal_width), as_json=form == "jsonl")
        else:
            calls = first_calls(engine, selection, most, order)
            if export_to is not None:
                export(engine, calls, export_to, pattern=settings.redact_pattern, redact=redact, escaped=escape_html)
            if calls:
                print_list(engine, calls, columns, form, verbose=verbose)
            else:
                is_any = not (filters.predicates or chat_only)
                print_empty_list(columns, form, verbose=verbose, why=NOTHING_STORED if is_any else NO_CALLS)
            tell_units(filters.predicates, found_any=bool(calls))
            warn_of_full_scan(order, time.monotonic() - began)


EXCLUSIVE = ("count", "stats", "watch", "export_to")
INCOMPATIBLE = {
    "count": ("limit", "columns", "order", "verbose"),
    "stats": ("columns", "order", "verbose"),
    "watch": ("order",),
    "columns": ("verbose",),
}
"""Options that exclude each other."""


def refuse_contradictions(context: click.Context) -> None:
    """Raise UsageError for options that exclude each other."""
    flags = {
        parameter.name: next((flag for flag in parameter.opts if flag.startswith("--")), parameter.opts[0])
        for parameter in context.command.params
    }
    used = [name for name in flags if name and context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    pairs = [(one, other) for one in used for other in used if other in INCOMPATIBLE.get(one, ())]
    modes = [name for name in EXCLUSIVE if name in used]
    if "redact" in used and "export_to" not in used:
        raise click.UsageError("--redact is for --export")
    if is_given(context, "redact-pattern") and "redact" not in used:
        raise click.UsageError("--redact-pattern is for --redact")
    pairs += [(modes[0], other) for other in modes[1:]]
    if pairs:
        one, other = (flags[name] for name in pairs[0])
        raise click.UsageError(f"{one} and {other} exclude each other")
