"""`mpal import`: import calls from another store."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import StoreError
from moonpalace_addons.settings.table import BY_NAME
from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.setting_flags import setting_flags
from moonpalace_cli.output import print_json
from moonpalace_cli.text.progress import progress

if TYPE_CHECKING:
    from moonpalace_addons.settings.values import Settings
    from moonpalace_addons.store.incoming.importing import Counts


def parse_source(context: click.Context, parameter: click.Parameter, text: str) -> str:
    """Return the URL of the source store, given in the same form as --database."""
    try:
        return str(BY_NAME["database"].kind.parse(text))
    except (ValueError, OSError) as error:
        hint = "is neither a file nor an SQLAlchemy URL"  # may contain a password, so it is not quoted
        raise click.BadParameter(hint, context, parameter) from error


@click.command("import")
@click.argument("source", metavar="FILE_OR_URL", callback=parse_source)
@click.option("--dry-run", is_flag=True, help="Only count what would be imported.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as a JSON object.")
@setting_flags("database")
def command(source: str, dry_run: bool, as_json: bool, settings: Settings) -> None:
    """Import calls from an export, a file of the original MoonPalace, or a database of this one (SQLite, PostgreSQL).

    Files that mpal export writes as json, jsonl or a zip of these are imported as calls with the tag "imported", so
    that a colleague sees a case in all views. The whole file is checked before anything is stored. Reports, commands
    and other formats cannot be imported.

    Each call is imported once, however often this is run, and gets a new number; labels, event streams and times are
    kept. The other store is only read. Calls that are in flight there are skipped.

    The original stored times without a time zone: they are read in the time zone of this machine. For a file from
    elsewhere set TZ: TZ=Asia/Shanghai mpal import old.sqlite.
    """
    counts = take_over(source, settings.database, dry_run=dry_run)
    if as_json:
        print_json(json.dumps(asdict(counts) | {"dry_run": dry_run}))
        return
    click.echo(sentence(counts, dry_run=dry_run))


def take_over(source: str, database: str, *, dry_run: bool) -> Counts:
    """Import the calls, with a progress bar on a terminal."""
    if source == database:
        raise StoreError("a store cannot be imported into itself: give another one")
    from moonpalace_addons.store.database.opening import open_store  # see `lookup.opened`

    if not dry_run:
        open_store(database, create=True).dispose()
    with opened(database) as engine:
        from moonpalace_addons.store.incoming.importing import import_calls
        from moonpalace_addons.store.incoming.sources import opened_source

        with opened_source(source) as other:
            length = other.count() if sys.stderr.isatty() else 0
            with progress(length, "Importing", "are read; run it again to continue") as done:
                return import_calls(other, engine, dry_run=dry_run, progress=done)


def sentence(counts: Counts, *, dry_run: bool) -> str:
    """Return a summary of the import."""
    calls = "1 call" if counts.imported == 1 else f"{counts.imported} calls"
    parts = [f"{'would import' if dry_run else 'imported'} {calls}"]
    if counts.present:
        parts.append(f"{counts.present} {'was' if counts.present == 1 else 'were'} already here")
    if counts.left_out:
        parts.append(f"{counts.left_out} still under way {'was' if counts.left_out == 1 else 'were'} left out")
    return ", ".join(parts)
