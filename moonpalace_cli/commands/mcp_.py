"""`mpal mcp`: the store for coding agents, over the Model Context Protocol."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.settings.table import BY_NAME
from moonpalace_cli.flags.setting_flags import setting_flags

if TYPE_CHECKING:
    from moonpalace_addons.settings.values import Settings

CLIENTS = ("claude", "codex", "cursor", "kimi", "opencode")


@click.command("mcp")
@click.option("--allow-label", is_flag=True, help="Let the agent set labels; otherwise it can only read.")
@click.option("--raw", is_flag=True, help="Do not replace ids of accounts, users, addresses and files with pseudonyms.")
@click.option(
    "--install", "client", type=click.Choice(CLIENTS), help="Print the entry for the configuration of this client."
)
@click.option("--write", is_flag=True, help="With --install: write the entry into the client's configuration.")
@setting_flags("database", "redact-pattern")
@click.pass_context
def command(
    context: click.Context, allow_label: bool, raw: bool, client: str | None, write: bool, settings: Settings
) -> None:
    """Serve the store to a coding agent over standard input and output (Model Context Protocol).

    The agent can search calls, read one in full or in part, ask why it failed, compare two, and add up tokens, cost and
    caching. It finds the calls of its own session, if its requests pass through MoonPalace. Answers keep to a budget of
    tokens that the agent may set. Keys are masked in the store; what identifies people and accounts is replaced by
    pseudonyms, as in mpal export --redact. Captured texts are marked as data in every answer.

    A client starts this command by itself, once it is in the client's configuration: mpal mcp --install codex --write.
    """
    if write and client is None:
        raise click.UsageError("--write is for --install")
    if client is not None:
        from moonpalace_cli.mcp_server.installing import install

        switches = {"--allow-label": allow_label, "--raw": raw}
        flags = [flag for flag, is_given in switches.items() if is_given]
        install(client, [*flags, *setting_arguments(context, settings)], write=write)
        return
    if find_spec("mcp") is None:
        raise MoonPalaceError("mpal mcp needs the MCP SDK: pip install 'moonpalace[mcp]'")
    from moonpalace_cli.mcp_server.reading import Options
    from moonpalace_cli.mcp_server.serving import serve

    serve(Options(settings.database, settings.redact_pattern, raw=raw, allow_label=allow_label))


def setting_arguments(context: click.Context, settings: Settings) -> list[str]:
    """Return flags for settings from our environment, because clients start this command without it."""
    from moonpalace_addons.store.database.engine import parse_url

    arguments = []
    if is_given(context, "database") or os.environ.get("MOONPALACE_HOME"):
        url = parse_url(settings.database)
        if url.password or any("password" in name.lower() for name in url.query):
            raise MoonPalaceError(
                "the database's URL has a password, which no configuration of a client should hold: "
                "put it into ~/.pgpass, and leave it out of the URL"
            )
        arguments += ["--database", settings.database]
    if is_given(context, "redact-pattern") and settings.redact_pattern:
        arguments += ["--redact-pattern", settings.redact_pattern]
    return arguments


def is_given(context: click.Context, name: str) -> bool:
    """Return whether a setting was given by a flag or a variable."""
    source = context.get_parameter_source("setting_" + name.replace("-", "_"))
    return source is not ParameterSource.DEFAULT or bool(os.environ.get(BY_NAME[name].env))
