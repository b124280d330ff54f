"""`mpal export`: one call as a JSON document or as a curl command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from moonpalace_cli import curl
from moonpalace_cli.documents import export_document
from moonpalace_cli.files import safe_stem, write_new, write_over
from moonpalace_cli.json_text import JSON_ESCAPES, dumps
from moonpalace_cli.json_text import escape_html as escape
from moonpalace_cli.lookup import find_call, identifier_flags, opened
from moonpalace_cli.output import is_terminal, print_json, print_text
from moonpalace_cli.setting_flags import setting_flags

if TYPE_CHECKING:
    from moonpalace_addons.settings import Settings
    from moonpalace_addons.store.records.exchanges import Exchange

STANDARD_OUTPUT = ("stdout", "-")


@click.command("export", short_help="Export a call as JSON or as a curl command.")
@identifier_flags
@click.option("--good", is_flag=True, help="Call it a good case.")
@click.option("--bad", is_flag=True, help="Call it a bad case.")
@click.option("--tag", "tags", metavar="TEXT", multiple=True, help="Tag the case; may be given several times.")
@click.option("--directory", type=click.Path(path_type=Path), help="Folder for a file named after the completion's id.")
@click.option("-o", "--output", default="stdout", show_default=True, metavar="FILE", help="File to write.")
@click.option("--escape-html", is_flag=True, help="Escape <, > and & in the JSON.")
@click.option("--curl", "as_curl", is_flag=True, help="Export the curl command that sends the request again.")
@setting_flags("database", "endpoint")
def command(
    row_id: int | None,
    chatcmpl: str | None,
    request_id: str | None,
    good: bool,
    bad: bool,
    tags: tuple[str, ...],
    directory: Path | None,
    output: str,
    escape_html: bool,
    as_curl: bool,
    settings: Settings,
) -> None:
    """Export one call, found by at least one of --id, --chatcmpl and --requestid; all that are given must hold.

    With --directory the file's path is printed; a file that is there already is never overwritten.
    """
    if good and bad:
        raise click.UsageError("--good and --bad exclude each other")
    if directory is not None and output not in STANDARD_OUTPUT:
        raise click.UsageError("--directory and --output exclude each other")
    with opened(settings.database) as engine:
        from moonpalace_addons.store.records import contents

        exchange = find_call(engine, row_id=row_id, chatcmpl=chatcmpl, request_id=request_id)
        bodies = contents.bodies(engine, exchange.id)
    to_terminal = directory is None and output in STANDARD_OUTPUT and is_terminal()
    if as_curl:
        encoding = sys.stdout.encoding if to_terminal else "utf-8"
        text = curl.command(exchange, bodies.request or b"", encoding=encoding)
    else:
        category = "goodcase" if good else "badcase" if bad else None
        text = dumps(export_document(exchange, bodies, category=category, tags=tags))
        text = escape(text) if escape_html else text
    if directory is not None:
        ending = ".sh" if as_curl else ".json"
        click.echo(write_new(directory, file_stem(exchange), ending, encoded(text)))
    elif output not in STANDARD_OUTPUT:
        write_over(Path(output), encoded(text))
    elif to_terminal and as_curl:
        click.echo(text)
    elif as_curl:
        print_text(text + "\n")
    else:
        print_json(text)


def encoded(text: str) -> bytes:
    """Return the file's content; lone surrogates, which UTF-8 cannot hold, become JSON escapes."""
    return (text + "\n").encode("utf-8", JSON_ESCAPES)


def file_stem(exchange: Exchange) -> str:
    """Return the documented file name without its ending: the completion's id, else the request's, else our own."""
    return safe_stem(exchange.chatcmpl_id or exchange.msh_request_id or "") or f"moonpalace-{exchange.id}"
