"""`mpal web`: pages in the browser for the stored calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from moonpalace_addons.settings.table import BY_NAME
from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.numbers import WholeNumber
from moonpalace_cli.flags.setting_flags import ASKING, setting_flags

if TYPE_CHECKING:
    from moonpalace_addons.settings.values import Settings


@click.command("web")
@click.option(
    "--port",
    type=WholeNumber(0, 65535),
    default=BY_NAME["console-port"].default,
    show_default=True,
    envvar="MOONPALACE_WEB_PORT",
    help="Port to listen on; 0 takes a free one. [env: MOONPALACE_WEB_PORT]",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    envvar="MOONPALACE_WEB_HOST",
    help="Address to listen on; beyond 127.0.0.1 other machines can reach the console. [env: MOONPALACE_WEB_HOST]",
)
@click.option(
    "--token",
    envvar="MOONPALACE_WEB_TOKEN",
    metavar="TEXT",
    help="Token that the first address carries, and programs send. Default: a new one. [env: MOONPALACE_WEB_TOKEN]",
)
@click.option("--no-open", is_flag=True, help="Do not open the browser.")
@setting_flags(*ASKING)
def command(port: int, host: str, token: str | None, no_open: bool, settings: Settings) -> None:
    """Show the stored calls in the browser: the list, live and filtered, and each call in full.

    The console opens the store in its own process, and listens on this machine only, unless --host is given. The
    address that it prints carries a token; the browser then keeps a cookie for a week. Ctrl-C stops it.

    Programs get every page as JSON: curl -H "Authorization: Bearer TOKEN" -H "Accept: application/json" ADDRESS
    """
    # Tornado, Jinja2 and asyncio: 0.3 s. Before the store, which else would defer asyncio.
    from moonpalace_cli.web.running import run
    from moonpalace_cli.web.server import Options

    with opened(settings.database) as engine:
        run(engine, Options(host, port, token or None, settings.redact_pattern, settings=settings), opens=not no_open)
