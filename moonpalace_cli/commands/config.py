"""`mpal config`: every setting, its value and where it comes from; and a file to start from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import click

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.settings.banner import exposed
from moonpalace_addons.settings.explainer import MEMBERS, Explainer
from moonpalace_addons.settings.reports import KINDS
from moonpalace_addons.settings.setting import Setting
from moonpalace_addons.settings.table import TABLE
from moonpalace_addons.settings.values import Settings, home, resolve, sources
from moonpalace_cli.flags.forms import form_flags
from moonpalace_cli.flags.meant import SuggestingGroup
from moonpalace_cli.flags.paths import GivenPath
from moonpalace_cli.flags.process_title import PASSWORD, USER
from moonpalace_cli.output import terminal_width, visible
from moonpalace_cli.text.records import Form, print_records
from moonpalace_cli.views.listing.layout import lay_out

COLUMNS = ("setting", "value", "from")
HEAD = """\
# Settings of MoonPalace. Remove the # before a line to change a setting; flags and variables override this file.
# mpal config shows what is in force, and where it comes from.
"""


@click.group(
    "config",
    cls=SuggestingGroup,
    invoke_without_command=True,
)
@click.option("--config", "file", type=GivenPath(path_type=Path), metavar="FILE", help="Read this file.")
@form_flags
@click.pass_context
def command(context: click.Context, file: Path | None, form: Form) -> None:
    """Show every setting, its value, and where it comes from: a variable, config.yaml or the default.

    The endpoints and prices of config.yaml, the model that explains calls, and the destinations and rules of reports
    follow. Secrets are not shown. "mpal config init" writes a file with all settings, commented out.
    """
    if context.invoked_subcommand is not None:
        return
    settings = resolve({}, os.environ, file)
    origins = sources(os.environ, file)
    rows = [(setting.name, shown(setting, settings), origin_of(setting, settings, origins)) for setting in TABLE]
    free = (*endpoints(settings), *prices(settings), *explainer(settings), *destinations(settings), *rules(settings))
    rows += [(name, value, str(settings.config_file)) for name, value in free]
    if form != "table":
        print_records((json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) for row in rows), form)
    else:
        click.echo(lay_out(COLUMNS, [[visible(cell) for cell in row] for row in rows], terminal_width()))
    for warning in exposed(settings):
        click.echo(visible(warning), err=True)


@command.command("init")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def init(force: bool) -> None:
    """Write config.yaml into ~/.moonpalace, with every setting commented out."""
    file = home(os.environ) / "config.yaml"
    if file.exists() and not force:
        raise MoonPalaceError(f"{file} already exists: edit it, or replace it with --force")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.unlink(missing_ok=True)  # so that a new one has the right permissions
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as written:
        written.write("\n".join([HEAD, *template(), ""]))
    click.echo(file)


def shown(setting: Setting[object], settings: Settings) -> str:
    """Return a value for people; secrets and passwords are masked."""
    value = getattr(settings, setting.field)
    if setting.secret:
        return "***" if value else ""
    if isinstance(value, bool):
        return "on" if value else "off"
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
    return PASSWORD.sub("***", USER.sub("***@", text))


def origin_of(setting: Setting[object], settings: Settings, origins: Mapping[str, str]) -> str:
    """Return the origin of a value; the URL and the key may come from the first named endpoint."""
    name = settings.endpoints[0].name
    is_of_endpoint = name is not None and setting.name in ("endpoint", "key") and getattr(settings, setting.field)
    return origins.get(setting.name) or (f"endpoints.{name}" if is_of_endpoint else "default")


def endpoints(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each named endpoint: its URL, whether it has a key, and the names of its headers."""
    for endpoint in settings.endpoints:
        if endpoint.name is not None:
            key = ["key ***"] if endpoint.key else []
            headers = [f"header {name}" for name, _ in endpoint.headers]
            yield f"endpoints.{endpoint.name}", ", ".join([endpoint.url, *key, *headers])


def prices(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the prices that the user has set, in the order in which they count."""
    for rule in settings.prices:
        per_kind = {name: price for name, price in asdict(rule.rates).items() if isinstance(price, float)}
        amounts = ", ".join(f"{name.replace('_', '-')} {price:g}" for name, price in per_kind.items())
        yield (
            f"prices.{rule.model}",
            f"{amounts} {rule.rates.currency}" + (f" at {rule.endpoint}" if rule.endpoint else ""),
        )


def explainer(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the user's settings for the model that explains calls."""
    for name in MEMBERS:
        value = getattr(settings.explain, name)
        if value != getattr(Explainer(), name):
            yield f"explain.{name}", "***" if name == "key" else str(value)


def destinations(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the destinations of reports, without their secrets."""
    for each in settings.reports:
        from moonpalace_cli.reporting.receivers.table import place  # most users have none

        hidden = [f"{name} ***" for name in KINDS[each.kind].secrets if name in each.options]
        yield f"reports.{each.name}", ", ".join([place(each), *hidden, *([] if each.is_redacted else ["not redacted"])])


def rules(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the rules that send reports."""
    for each in settings.rules:
        limits = f"at most {each.limit} in 24 hours, similar calls of {each.delay} s together"
        yield f"rules.{each.name}", f"{each.when} => {each.to}, {limits}"


def template() -> Iterator[str]:
    """Yield the lines of a file with all settings, commented out, in their sections."""
    section: tuple[str, ...] = ()
    for setting in sorted(TABLE, key=lambda each: (len(each.path) > 1, each.path[:-1] if len(each.path) > 2 else ())):
        *above, name = setting.path
        if tuple(above) != section:
            section = tuple(above)
            yield from (f"# {'    ' * depth}{key}:" for depth, key in enumerate(section) if depth or len(section) == 1)
        indent = "    " * len(above)
        yield f"# {indent}# {setting.help}"
        yield f"# {indent}{name}: {example(setting)}"


def example(setting: Setting[object]) -> str:
    """Return a value as it is written in config.yaml."""
    if setting.default is None:
        return "…"
    if isinstance(setting.default, tuple):
        return "[]"
    return json.dumps(setting.default) if isinstance(setting.default, bool) else str(setting.default)
