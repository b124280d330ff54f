"""`mpal cleanup`: delete calls from before a moment."""

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from moonpalace_cli.lookup import opened
from moonpalace_cli.output import print_json
from moonpalace_cli.presentation import TIME_FORMAT
from moonpalace_cli.setting_flags import setting_flags

if TYPE_CHECKING:
    from moonpalace_addons.settings import Settings

DAYS_KEPT = 7


def parse_moment(context: click.Context, parameter: click.Parameter, text: str) -> datetime:
    """Return the moment with its time zone, the local one unless the text brings one; a date is its first second."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError) as error:
        hint = f"{text!r} is no time: write 2024-07-29, '2024-07-29 21:30:43' or ISO 8601"
        raise click.BadParameter(hint, context, parameter) from error


def default_moment() -> str:
    """Return the date seven days ago."""
    return (datetime.now().astimezone() - timedelta(days=DAYS_KEPT)).strftime("%Y-%m-%d")


@click.command("cleanup", short_help="Delete old calls.")
@click.option(
    "--before",
    metavar="TIME",
    callback=parse_moment,
    default=default_moment,
    show_default="the date seven days ago",
    help="Delete calls that began before this time: a date, a date and time, or ISO 8601; local time.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as a JSON object.")
@setting_flags("database", "endpoint")
def command(before: datetime, as_json: bool, settings: "Settings") -> None:
    """Delete the calls that began before a time.

    Calls that are still under way stay.
    """
    with opened(settings.database) as engine:
        from moonpalace_addons.store.records import retention

        deleted = retention.delete_before(engine, before)
    if as_json:
        print_json(json.dumps({"deleted": deleted, "before": before.isoformat()}))
    else:
        calls = "1 call" if deleted == 1 else f"{deleted} calls"
        click.echo(f"deleted {calls} made before {before.strftime(TIME_FORMAT)}")
