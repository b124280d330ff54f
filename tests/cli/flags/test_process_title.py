"""Tests of taking secrets out of the process list."""

from collections.abc import Callable

import pytest
import setproctitle

from moonpalace_addons.settings import resolve
from moonpalace_cli.flags.process_title import hide_secrets
from moonpalace_cli.proxy import serving

KEY = "sk-the-owners-key"

TITLES = [
    ("mpal start", {}, "mpal start"),
    (f"mpal start --key {KEY}", {"key": KEY}, "mpal start --key ***"),
    (f"mpal start -k{KEY} --token=team-token", {"key": KEY, "token": "team-token"}, "mpal start -k*** --token=***"),
    ("mpal start --port 1", {"key": KEY}, "mpal start --port 1"),
    (
        "mpal start --upstream-proxy http://user:password@proxy:3128/",
        {"upstream-proxy": "http://user:password@proxy:3128/"},
        "mpal start --upstream-proxy http://***@proxy:3128/",
    ),
    (
        "mpal start --upstream-proxy user:password@PROXY:80",
        {"upstream-proxy": "user:password@PROXY:80"},
        "mpal start --upstream-proxy ***@PROXY:80",
    ),
    ("mpal start --upstream-proxy p:1", {"upstream-proxy": "p:1"}, "mpal start --upstream-proxy p:1"),
    (
        "mpal start --database postgresql://me:password@host/calls",
        {"database": "postgresql://me:password@host/calls"},
        "mpal start --database postgresql://***@host/calls",
    ),
    (
        "mpal list --database=postgresql+psycopg://me:p/a#s?s:w@host/calls?sslmode=require",
        {"database": "postgresql+psycopg://me:p/a#s?s:w@host/calls?sslmode=require"},
        "mpal list --database=postgresql+psycopg://***@host/calls?sslmode=require",
    ),
    (
        "mpal list --database postgresql://host/calls?user=me&password=hunter22&sslmode=require",
        {"database": "postgresql://host/calls?user=me&password=hunter22&sslmode=require"},
        "mpal list --database postgresql://host/calls?user=me&password=***&sslmode=require",
    ),
    (
        "mpal list --database postgresql://h/d",
        {"database": "postgresql://h/d"},
        "mpal list --database postgresql://h/d",
    ),
    ("mpal list --database /a/b@c", {"database": "/a/b@c"}, "mpal list --database /a/b@c"),
]


@pytest.mark.parametrize(("title", "given", "expected"), TITLES)
def test_process_list(monkeypatch: pytest.MonkeyPatch, title: str, given: dict[str, object], expected: str) -> None:
    """Keys, tokens and passwords given as flags are masked in the process list, however they are spelled."""
    shown = [title]
    monkeypatch.setattr(setproctitle, "getproctitle", lambda: title)
    monkeypatch.setattr(setproctitle, "setproctitle", shown.append)
    hide_secrets(resolve(given, {"MOONPALACE_HOME": "/nowhere"}))
    assert shown[-1] == expected
    assert len(shown) == (1 if title == expected else 2)  # a title that hides nothing is left alone


@pytest.mark.parametrize("command", ["list", "start"])
def test_every_command_hides_what_its_flags_show(
    mpal: Callable[..., object], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A command that is given a URL with a password hides it before it opens the database."""
    url = "postgresql://me:hunter22@127.0.0.1:1/calls"
    shown: list[str] = []
    monkeypatch.setattr(setproctitle, "getproctitle", lambda: f"mpal {command} --database {url}")
    monkeypatch.setattr(setproctitle, "setproctitle", shown.append)
    monkeypatch.setattr(serving, "serve", lambda *_: None)
    mpal(command, "--database", url)
    assert shown == [f"mpal {command} --database postgresql://***@127.0.0.1:1/calls"]
