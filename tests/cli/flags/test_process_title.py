"""Tests of hiding secrets from the process list."""

from collections.abc import Callable

import pytest
import setproctitle

from moonpalace_addons.settings.table import BY_NAME, TABLE
from moonpalace_cli.flags.process_title import LONG, PROXY, SHORT, hide_secrets
from moonpalace_cli.proxy import serving

KEY = "sk-the-owners-key"

FORMED = "sk-9fR2kLmQ8vXc0TzB4nYd"

TITLES = [
    ("mpal start", "mpal start"),
    (f"mpal start --key {KEY}", "mpal start --key ***"),
    (f"mpal start -k{KEY} --token=team-token", "mpal start -k*** --token=***"),
    (f"mpal start -k {KEY} --token team-token", "mpal start -k *** --token ***"),
    ("mpal start --port 1", "mpal start --port 1"),
    (
        "mpal start --upstream-proxy http://user:password@proxy:3128/",
        "mpal start --upstream-proxy http://***@proxy:3128/",
    ),
    ("mpal start --upstream-proxy user:password@PROXY:80", "mpal start --upstream-proxy ***@PROXY:80"),
    ("mpal start --upstream-proxy=user:pass@word@PROXY:80", "mpal start --upstream-proxy=***@word@PROXY:80"),
    ("mpal start --upstream-proxy p:1", "mpal start --upstream-proxy p:1"),
    ("mpal start --database postgresql://me:password@host/calls", "mpal start --database postgresql://***@host/calls"),
    (
        "mpal list --database=postgresql+psycopg://me:p/a#s?s:w@d@host/calls?sslmode=require",
        "mpal list --database=postgresql+psycopg://***@host/calls?sslmode=require",
    ),
    (
        "mpal list --database postgresql://host/calls?user=me&password=hunter22&sslmode=require",
        "mpal list --database postgresql://host/calls?user=me&password=***&sslmode=require",
    ),
    ("mpal list --database postgresql://h/d", "mpal list --database postgresql://h/d"),
    ("mpal list --database /a/b@c", "mpal list --database /a/b@c"),
    ("mpal import postgresql://me:hunter22@host/calls", "mpal import postgresql://***@host/calls"),
    ("mpal import postgresql://host/calls?password=hunter22", "mpal import postgresql://host/calls?password=***"),
    ("mpal --endpoint https://me:hunter22@host list", "mpal --endpoint https://***@host list"),
    (f"mpal label --note {FORMED}", "mpal label --note ***"),
    (f"mpal list -p {FORMED} --nonsense", "mpal list -p *** --nonsense"),
]


@pytest.mark.parametrize(("title", "expected"), TITLES)
def test_process_list(monkeypatch: pytest.MonkeyPatch, title: str, expected: str) -> None:
    """Keys, tokens and passwords are masked in the process list, at any position and in any form."""
    shown = [title]
    monkeypatch.setattr(setproctitle, "getproctitle", lambda: title)
    monkeypatch.setattr(setproctitle, "setproctitle", shown.append)
    hide_secrets(title.split()[1:])
    assert shown[-1] == expected
    assert len(shown) == (1 if title == expected else 2)  # a title that hides nothing is left alone


@pytest.mark.parametrize("command", [("list", "--database"), ("start", "--database"), ("import",), ("start", "-x")])
def test_every_command_hides_what_its_flags_show(
    mpal: Callable[..., object], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """A command hides the password of a URL before anything else, even if the flag is invalid there."""
    url = "postgresql://me:hunter22@127.0.0.1:1/calls"
    shown: list[str] = []
    monkeypatch.setattr(setproctitle, "getproctitle", lambda: f"mpal {' '.join(command)} {url}")
    monkeypatch.setattr(setproctitle, "setproctitle", shown.append)
    monkeypatch.setattr(serving, "serve", lambda *_: None)
    mpal(*command, url)
    assert shown == [f"mpal {' '.join(command)} postgresql://***@127.0.0.1:1/calls"]


def test_flags_are_those_of_the_settings() -> None:
    """The list of flags, which is written out for speed, agrees with the table."""
    secret = [setting for setting in TABLE if setting.secret]
    assert tuple(f"--{setting.name}" for setting in secret) == LONG
    assert tuple(f"-{setting.short}" for setting in secret if setting.short) == SHORT
    assert PROXY.removeprefix("--") in BY_NAME
