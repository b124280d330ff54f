"""The proxy's messages at its start."""

import io
import logging
import sys
from pathlib import Path

import pytest

from moonpalace_addons.settings.banner import announce, banner
from moonpalace_addons.settings.values import Settings, resolve

URL = "http://127.0.0.1:9988/v1"


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def resolved(folder: Path, **given: object) -> Settings:
    """Return settings given by their names, with a home in the folder."""
    named = {name.replace("_", "-"): value for name, value in given.items()}
    return resolve(named, {"MOONPALACE_HOME": str(folder)})


def logged_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines that were logged."""
    return [line for record in caplog.records for line in record.getMessage().split("\n")]


def test_banner(tmp_path: Path) -> None:
    """It names the endpoint, the store, the enabled features, and the setup for each client."""
    settings = resolved(
        tmp_path, database="/data/a b.sqlite", force_stream=True, retention_days=30, key="sk-owner-key-1"
    )
    assert banner(URL, settings) == [
        "  endpoint     https://api.moonshot.cn",
        "  store        /data/a b.sqlite",
        "  on           key, retention-days 30, force-stream",
        "  OpenAI SDK   OPENAI_BASE_URL=http://127.0.0.1:9988/v1",
        "  Claude Code  ANTHROPIC_BASE_URL=http://127.0.0.1:9988/anthropic",
        '  Codex        base_url = "http://127.0.0.1:9988/v1", wire_api = "responses"',
        '  Kimi Code    base_url = "http://127.0.0.1:9988/v1" (config.toml)',
    ]
    assert max(map(len, banner(URL, settings))) <= 80


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"endpoint": "https://api.anthropic.com"}, "  Claude Code  ANTHROPIC_BASE_URL=http://127.0.0.1:9988"),
        (
            {"database": "postgresql://user:p%40ss@db.lan/calls?password=secret"},
            "  store        postgresql://db.lan/calls",
        ),
        ({"upstream_proxy": "http://user:secret@proxy.lan:3128"}, "  on           upstream-proxy"),
    ],
)
def test_parts_of_the_banner(given: dict[str, object], line: str, tmp_path: Path) -> None:
    """Claude Code's path is that of the endpoint, and no password is shown."""
    lines = banner(URL, resolved(tmp_path, **given))
    assert line in lines
    assert "secret" not in "\n".join(lines)


def test_nothing_is_switched_on(tmp_path: Path) -> None:
    """With the defaults there is no line for features."""
    assert not [line for line in banner(URL, resolved(tmp_path)) if line.startswith("  on")]


@pytest.mark.parametrize(("terminal", "quiet", "lines"), [(False, False, 1), (True, False, 7), (True, True, 1)])
def test_only_terminals_get_the_banner(
    terminal: bool,
    quiet: bool,
    lines: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file only gets the documented line, and so does a terminal with --quiet."""
    caplog.set_level(logging.INFO, "moonpalace")
    monkeypatch.setattr(sys, "stderr", Terminal() if terminal else io.StringIO())
    announce(URL, resolved(tmp_path, quiet=quiet))
    assert logged_lines(caplog)[0] == f'MoonPalace Starts => change base_url to "{URL}"'
    assert len(logged_lines(caplog)) == lines


@pytest.mark.parametrize(("mode", "warns"), [(0o600, False), (0o644, True)])
def test_a_key_that_others_can_read(mode: int, warns: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A config.yaml with a key that other users can read gets a warning with the command that changes it."""
    file = tmp_path / "config.yaml"
    file.write_text("start: {key: sk-owner-key-1}\n", encoding="utf-8")
    file.chmod(mode)
    announce(URL, resolved(tmp_path))
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"{file} holds a key that other users can read: chmod 600 {file}"] * warns
