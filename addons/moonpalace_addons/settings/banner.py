"""Say in the log that the proxy has started: where clients reach it, where calls go, and what is switched on."""

import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.config_file import display_path, exposed_secrets
from moonpalace_addons.settings.endpoints import announced
from moonpalace_addons.settings.table import TABLE
from moonpalace_addons.settings.values import Settings

logger = logging.getLogger("moonpalace")

LABEL = 13
"""Columns of the names on the left."""
UNSAID = ("port", "host", "endpoint", "database", "log", "quiet", "tls-cert", "tls-key")
"""Settings that show elsewhere, in the base URL or in lines of their own."""
FILE_URL = "sqlite:///"
USER_INFO = re.compile(r"//.*@")


def announce(base_url: str, settings: Settings, note: str = "") -> None:
    """Log the base URL for clients, on a terminal with the settings that matter; warn of keys that others can read."""
    logger.info('MoonPalace Starts => change base_url to "%s"%s', base_url, note)
    if not settings.quiet and settings.log != "json" and sys.stderr is not None and sys.stderr.isatty():
        logger.info("%s", "\n".join(banner(base_url, settings)), extra={"has_own_times": True})
    for line in announced(base_url, settings.endpoints):
        logger.info("%s", line)
    for warning in exposed(settings):
        logger.warning("%s", warning)


def banner(base_url: str, settings: Settings) -> list[str]:
    """Return the lines for a terminal of 80 columns: endpoint, store, settings, and how clients are set up."""
    rows = [
        ("endpoint", settings.endpoint),
        ("store", store_name(settings.database)),
        ("on", ", ".join(switched_on(settings))),
        ("OpenAI SDK", f"OPENAI_BASE_URL={base_url}"),
        ("Claude Code", f"ANTHROPIC_BASE_URL={anthropic_url(base_url, settings.endpoint)}"),
        ("Codex", f'base_url = "{base_url}", wire_api = "responses"'),
        ("Kimi Code", f'base_url = "{base_url}" (config.toml)'),
    ]
    return [f"  {name:<{LABEL}}{text}" for name, text in rows if text]


def anthropic_url(base_url: str, endpoint: str) -> str:
    """Return the base URL for clients of Anthropic's messages, which they extend by /v1/messages."""
    root = base_url.removesuffix("/v1")
    return root if endpoint.rstrip("/").endswith("anthropic.com") else f"{root}/anthropic"


def store_name(database: str) -> str:
    """Return the path of a store that is a file, else the URL without user, password and parameters."""
    if database.startswith(FILE_URL):
        return display_path(Path(unquote(database.removeprefix(FILE_URL))))
    return USER_INFO.sub("//", database.partition("?")[0])


def switched_on(settings: Settings) -> Iterator[str]:
    """Yield what differs from the defaults; values that may hold a secret are left out."""
    for setting in TABLE:
        value = getattr(settings, setting.field)
        if setting.name not in UNSAID and value != setting.default and (value or setting.default):
            yield setting.name + value_text(value)


def value_text(value: object) -> str:
    """Return a number after a space, and nothing for any other value."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f" {value:g}" if is_number else " off" if value is False else ""


def exposed(settings: Settings) -> Iterator[str]:
    """Yield a warning about a config.yaml with secrets that other users can read, with what to do."""
    if settings.config_file is None:
        return
    try:
        found = exposed_secrets(settings.config_file)
    except SettingError:  # it has changed since it was read
        return
    if found is not None:
        yield "{}: {}".format(*found)
