"""`mpal cleanup`: delete old calls and free their space."""

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from moonpalace_addons.settings import kinds
from moonpalace_addons.store.query import times
from moonpalace_cli.calls.presentation import TIME_FORMAT
from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.numbers import WholeNumber
from moonpalace_cli.flags.setting_flags import setting_flags
from moonpalace_cli.output import print_json
from moonpalace_cli.text.progress import progress

if TYPE_CHECKING:
    from moonpalace_addons.settings.values import Settings
    from moonpalace_addons.store.upkeep.cleaning import Cleaned

DAYS_KEPT = 7
ASKED_FROM = 100
"""Calls that are deleted without confirmation."""


def parse_size(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Return a size in bytes."""
    try:
        return None if text is None else kinds.SIZE.parse(text)
    except ValueError as error:
        why = str(error) if isinstance(error, kinds.HintError) else f"must be {kinds.SIZE.allowed}"
        raise click.BadParameter(f"{text!r} {why}", context, parameter) from error


def parse_moment(context: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    """Return the start of the period that the text names, with its time zone."""
    try:
        return None if text is None else times.since(text, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error


def week_ago() -> datetime:
    """Return the start of the day seven days ago, local time."""
    day = datetime.now().astimezone() - timedelta(days=DAYS_KEPT)
    return datetime.fromisoformat(day.strftime("%Y-%m-%d")).astimezone()


@click.command("cleanup")
@click.option(
    "--before",
    metavar="TIME",
    callback=parse_moment,
    help="Delete calls that began before this time: 2024-07-29, '2024-07-29 21:30', -30d, today; local time. Default: "
    "the day seven days ago, unless --keep-last or --max-size is given.",
)
@click.option("--keep-last", metavar="NUMBER", type=WholeNumber(), help="Keep only the newest N calls.")
@click.option(
    "--max-size",
    metavar="SIZE",
    callback=parse_size,
    help="Delete the oldest calls until the database is no larger than this, for example 500MB or 2GB.",
)
@click.option("--include-labelled", is_flag=True, help="Also delete calls with a category, a tag or a note.")
@click.option(
    "--vacuum", is_flag=True, help="Afterwards rebuild the database file at its smallest size; proxies wait meanwhile."
)
@click.option("--yes", is_flag=True, help="Do not ask before more than 100 calls are deleted on a terminal.")
@click.option("--dry-run", is_flag=True, help="Report what would be deleted, but delete nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as a JSON object.")
@setting_flags("database", "endpoint")
def command(
    before: datetime | None,
    keep_last: int | None,
    max_size: int | None,
    include_labelled: bool,
    vacuum: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    settings: "Settings",
) -> None:
    """Delete calls that began before a time, and the data that only they use.

    Calls in flight and labelled calls are kept. A call that matches any condition is deleted. The space is returned to
    the disk. Proxies may keep running. On a terminal, it asks before it deletes more than 100 calls.
    """
    if before is None and keep_last is None and max_size is None:
        before = week_ago()
    with opened(settings.database) as engine:
        import threading

        from moonpalace_addons.store.upkeep import cleaning
        from moonpalace_addons.store.upkeep.retention import Rule

        rule = Rule(before, keep_last, include_labelled)
        if dry_run:
            cleaned = cleaning.preview(engine, rule, max_size)
        else:
            many = cleaning.preview(engine, rule, max_size).deleted if sys.stderr.isatty() else 0
            if not yes and many > ASKED_FROM and sys.stdin.isatty() and not confirmed(many):
                return
            with progress(many, "Deleting", "are deleted; run it again to continue") as done:
                cleaned = cleaning.clean(engine, rule, max_size, threading.Event(), done)
            if vacuum:
                cleaned = cleaning.compact(engine, cleaned)
    if as_json:
        print_json(json.dumps(document(cleaned, before, dry_run=dry_run)))
    else:
        report(cleaned, before, keep_last, max_size, dry_run=dry_run)


def confirmed(count: int) -> bool:
    """Ask whether to delete that many calls; if not, print that nothing was deleted."""
    if click.confirm(f"Delete {count:,} calls?", err=True):
        return True
    click.echo("nothing was deleted", err=True)
    return False


def document(cleaned: "Cleaned", before: datetime | None, *, dry_run: bool) -> dict[str, object]:
    """Return the result for programs; sizes are in bytes."""
    return {
        "deleted": cleaned.deleted,
        "before": before.isoformat() if before else None,
        "kept_labelled": cleaned.labelled,
        "size_before": cleaned.size_before,
        "size": cleaned.size_after,
        "dry_run": dry_run,
    }


def report(
    cleaned: "Cleaned", before: datetime | None, keep_last: int | None, max_size: int | None, *, dry_run: bool
) -> None:
    """Print the result for people."""
    why = []
    if before is not None:
        why.append(f"made before {before.strftime(TIME_FORMAT)}")
    if keep_last is not None:
        why.append(f"older than the last {keep_last}")
    if max_size is not None:
        why.append(f"that do not fit into {in_megabytes(max_size)}")
    verb = "would delete" if dry_run else "deleted"
    click.echo(f"{verb} {counted(cleaned.deleted)} {' or '.join(why)}")
    if cleaned.labelled:
        click.echo(f"{counted(cleaned.labelled)} kept because of their labels; --include-labelled deletes them too")
    if max_size is not None and not dry_run and cleaned.size_after > max_size:
        click.echo(f"the database still has {in_megabytes(cleaned.size_after)}: nothing more may be deleted")


def counted(number: int) -> str:
    """Return a number of calls as text."""
    return "1 call" if number == 1 else f"{number} calls"


def in_megabytes(size: int) -> str:
    """Return a size for people."""
    return f"{size / 1e6:,.1f} MB"
