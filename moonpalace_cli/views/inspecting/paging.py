"""Show long text on a terminal through the user's pager."""

import os
import shutil
import sys

import click

from moonpalace_cli.output import is_terminal
from moonpalace_cli.text.tables import display_width


def show(text: str, *, pager: bool) -> None:
    """Print escaped text, through $PAGER (`less -R`) if it is long and `pager` allows it.

    click makes `less` show our colours, and removes them for other pagers.
    """
    if pager and can_page() and not fits(text, *shutil.get_terminal_size()):
        click.echo_via_pager(text + "\n")
    else:
        click.echo(text)


def can_page() -> bool:
    """Return whether paging is possible; an empty PAGER disables it, as with git."""
    return is_terminal() and sys.stdin.isatty() and os.environ.get("PAGER") != ""


def fits(text: str, columns: int, lines: int) -> bool:
    """Return whether the text and the next prompt fit on a terminal of this size."""
    used = 1
    for line in text.split("\n"):
        used += max(1, -(-display_width(line) // max(1, columns)))
        if used > lines:
            return False
    return True
