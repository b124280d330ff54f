"""Flags of commands that use settings, generated from the table of settings."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import click
from click.core import ParameterSource

from moonpalace_addons.settings.entries import FREE
from moonpalace_addons.settings.setting import Setting
from moonpalace_addons.settings.table import BY_NAME, TABLE
from moonpalace_addons.settings.values import resolve
from moonpalace_cli.flags.paths import GivenPath

# The prefix separates these parameters from the command's own.
_PREFIX = "setting_"


ASKING = (
    *("database", "endpoint", "endpoints", "prices", "explain"),
    *("upstream-ca", "upstream-proxy", "idle-timeout", "redact-pattern"),
)
"""The settings of the model that explains calls."""


def setting_flags[R](*names: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Add the flags of these settings (by default of all) and --config to a click command.

    The command receives one argument `settings`, resolved from its flags, the environment and config.yaml; other
    settings have their defaults there. SettingError propagates to the caller.
    """
    chosen = [setting for setting in TABLE if setting.name in names or not names]
    free = [name for name in FREE if name in names or not names]
    unknown = set(names) - set(BY_NAME) - set(FREE)
    if unknown:
        raise KeyError(*unknown)

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(command)
        def with_settings(*args: object, **arguments: object) -> R:
            values = {setting.name: arguments.pop(_parameter(setting)) for setting in chosen}
            config = arguments.pop(f"{_PREFIX}config")
            settings = resolve(
                values,
                os.environ,
                None if config is None else Path(str(config)),
                names=[*(setting.name for setting in chosen), *free],
            )
            return command(*args, settings=settings, **arguments)

        decorated: Callable[..., R] = _config_option()(with_settings)
        for setting in reversed(chosen):  # click shows the flags in the reverse order of their decorators
            decorated = _option(setting)(decorated)
        return decorated

    return decorate


def is_given(context: click.Context, name: str) -> bool:
    """Return whether the flag of a setting is on the command line."""
    return context.get_parameter_source(_parameter(BY_NAME[name])) is ParameterSource.COMMANDLINE


def _parameter(setting: Setting[object]) -> str:
    return _PREFIX + setting.name.replace("-", "_")


def _option[F: Callable[..., object]](setting: Setting[object]) -> Callable[[F], F]:
    text = f"{setting.help} [env: {setting.env}]"
    if setting.kind.form == "switch":
        return click.option(f"--{setting.name}/--no-{setting.name}", _parameter(setting), default=None, help=text)
    return click.option(
        *([f"-{setting.short}"] if setting.short else []),
        f"--{setting.name}",
        _parameter(setting),
        # The table parses the text; these types are only for shell completion.
        type=click.Path(readable=False) if setting.kind.form == "path" else str,
        metavar=setting.kind.metavar,
        help=text,
    )


def _config_option[F: Callable[..., object]]() -> Callable[[F], F]:
    return click.option(
        "--config",
        f"{_PREFIX}config",
        type=GivenPath(readable=False),
        metavar="FILE",
        help="Read settings from this file. Default: config.yaml in ~/.moonpalace, if there. [env: MOONPALACE_CONFIG]",
    )
