"""`mpal addon-path`: where the script for mitmproxy is."""

from importlib.util import find_spec

import click

from moonpalace_addons.errors import MoonPalaceError


@click.command("addon-path")
def command() -> None:
    """Print the path of the script that makes mitmproxy record calls: mitmdump -s "$(mpal addon-path)"."""
    spec = find_spec("moonpalace")
    if spec is None or spec.origin is None:
        raise MoonPalaceError("the script moonpalace.py is not there: install MoonPalace again")
    click.echo(spec.origin)
