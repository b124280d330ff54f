"""`mpal inspect`: one call in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from moonpalace_cli.documents import inspect_document
from moonpalace_cli.http_text import request_message, response_message
from moonpalace_cli.json_text import dumps
from moonpalace_cli.lookup import find_call, identifier_flags, opened
from moonpalace_cli.output import is_terminal, print_json, print_text, terminal_width, visible
from moonpalace_cli.parts import PARTS, part_texts, parts_table
from moonpalace_cli.presentation import has_failed
from moonpalace_cli.setting_flags import setting_flags

if TYPE_CHECKING:
    from moonpalace_addons.settings import Settings
    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange


def parse_parts(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Return the names given by --print, once each, in the order given."""
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    for name in names:
        if name not in PARTS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(PARTS)}", context, parameter)
    return list(dict.fromkeys(names))


@click.command("inspect", short_help="Show one call in full.")
@identifier_flags
@click.option(
    "--print",
    "parts",
    metavar="PARTS",
    multiple=True,
    callback=parse_parts,
    help=f"Parts to show, separated by commas: {', '.join(PARTS)}. Default: metadata, and error for a failed call.",
)
@click.option("--print-request", is_flag=True, help="Print the request in HTTP format.")
@click.option("--print-response", is_flag=True, help="Print the response in HTTP format.")
@click.option("--merge-event-stream", "merged", is_flag=True, help="Show a stream's merged completion, not its events.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@setting_flags("database", "endpoint")
def command(
    row_id: int | None,
    chatcmpl: str | None,
    request_id: str | None,
    parts: list[str],
    print_request: bool,
    print_response: bool,
    merged: bool,
    as_json: bool,
    settings: Settings,
) -> None:
    """Show one call, found by at least one of --id, --chatcmpl and --requestid.

    Of several calls that match, the newest is shown and the others are named.
    """
    if as_json and (parts or print_request or print_response):
        raise click.UsageError("--json prints everything: leave out --print, --print-request and --print-response")
    if parts and (print_request or print_response):
        raise click.UsageError("--print gives a table: leave out --print-request and --print-response")
    with opened(settings.database) as engine:
        from moonpalace_addons.store.records import contents

        exchange = find_call(engine, row_id=row_id, chatcmpl=chatcmpl, request_id=request_id)
        bodies = contents.bodies(engine, exchange.id)
    if as_json:
        print_json(dumps(inspect_document(exchange, bodies)))
    elif print_request or print_response:
        print_messages(exchange, bodies, request=print_request, response=print_response, merged=merged)
    else:
        print_table(exchange, bodies, parts, merged=merged)


def print_messages(exchange: Exchange, bodies: Bodies, *, request: bool, response: bool, merged: bool) -> None:
    """Print the call in HTTP format."""
    if request:
        print_message(request_message(exchange, bodies))
    if request and response:
        click.echo()
    if response:
        print_message(response_message(exchange, bodies, merged=merged))


def print_message(message: str | bytes) -> None:
    """Print a message whose body may be bytes, which a terminal does not get."""
    if isinstance(message, str):
        print_text(message)
    elif is_terminal():
        head, _, body = message.partition(b"\n\n")
        print_text(f"{head.decode()}\n\n({len(body):,} bytes that are not UTF-8 text; pipe the output to get them)\n")
    else:
        click.echo(message, nl=False)


def print_table(exchange: Exchange, bodies: Bodies, parts: list[str], *, merged: bool) -> None:
    """Print the parts side by side, or the default ones."""
    names = parts or ["metadata", *(["error"] if has_failed(exchange) else [])]
    texts = part_texts(exchange, bodies, names, merged=merged)
    click.echo(parts_table({name: visible(text) for name, text in texts.items()}, terminal_width()))
