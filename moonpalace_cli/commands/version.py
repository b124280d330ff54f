"""`mpal version`: the same as `mpal --version`."""

import click

from moonpalace_addons.version import __version__


@click.command("version")
def command() -> None:
    """Show the version, as --version does."""
    click.echo(f"mpal {__version__}")
