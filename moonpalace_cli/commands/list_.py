"""`mpal list`: the newest calls."""

import json
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import NotBuiltYetError
from moonpalace_cli.listing import lay_out
from moonpalace_cli.lookup import opened
from moonpalace_cli.output import print_json, terminal_width, visible
from moonpalace_cli.presentation import COLUMNS, VERBOSE_COLUMNS, cells, record
from moonpalace_cli.setting_flags import setting_flags

if TYPE_CHECKING:
    from moonpalace_addons.settings import Settings

LARGEST_LIMIT = 2**31 - 1


@click.command("list", short_help="List the newest calls.")
@click.option(
    "-n", "--n", "limit", type=click.IntRange(1, LARGEST_LIMIT), default=10, show_default=True, help="Calls to list."
)
@click.option("-v", "--verbose", is_flag=True, help="Also show url, method, user_id and content_type.")
@click.option("--chatonly", "chat_only", is_flag=True, help="List only calls to …/chat/completions.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, with model and tokens.")
@click.option(
    "-p", "--predicate", metavar="TEXT", multiple=True, help="List only calls for which this holds. Not built yet."
)
@click.option("--export", "export_to", metavar="FOLDER", help="Export the calls into a folder. Not built yet.")
@click.option("--escape-html", is_flag=True, help="Escape <, > and & in what --export writes. Not built yet.")
@setting_flags("database", "endpoint")
def command(
    limit: int,
    verbose: bool,
    chat_only: bool,
    as_json: bool,
    predicate: tuple[str, ...],
    export_to: str | None,
    escape_html: bool,
    settings: "Settings",
) -> None:
    """List the newest calls.

    The status is the answer's code, or for a call without a whole answer its state: in_flight, client_disconnected,
    upstream_failed, timed_out, repeat_interrupted or proxy_died.

    Piped, the table is always whole. A terminal that is too narrow for it gets ids shortened in the middle (…), one too
    narrow even for that a block of lines for each call, with nothing left out.
    """
    if predicate:
        raise NotBuiltYetError("--predicate")
    if export_to is not None:
        raise NotBuiltYetError("list --export")
    with opened(settings.database) as engine:
        from moonpalace_addons.store.records import exchanges

        found = exchanges.latest(engine, limit=limit, chat_only=chat_only)
    if as_json:
        if found:
            print_json("\n".join(json.dumps(record(exchange), ensure_ascii=False) for exchange in found))
        return
    columns = VERBOSE_COLUMNS if verbose else COLUMNS
    rows = [[visible(cell) for cell in cells(exchange, columns)] for exchange in found]
    click.echo(lay_out(columns, rows, terminal_width()))
