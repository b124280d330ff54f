"""The contents of `mpal --help`, and the flags in the original's documents."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from moonpalace_addons.settings.table import BY_NAME
from moonpalace_cli.main import COMMANDS, cli, main
from moonpalace_cli.proxy import serving

KEY, TOKEN = "sk-must-not-be-shown", "token-must-not-be-shown"
WIDTH = 80


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a new home, none of the developer's variables, and a terminal 80 columns wide."""
    for name in list(os.environ):
        if name.startswith("MOONPALACE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MOONPALACE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    return tmp_path


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the output of a call for help, which must succeed."""
    assert main([*arguments, "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def command_of(name: str) -> click.Command:
    """Return a command, the group itself for an empty name."""
    found = cli.get_command(click.Context(cli), name) if name else cli
    assert found is not None
    return found


def options_of(name: str) -> Iterator[click.Option]:
    """Return the options in the help of a command."""
    return (option for option in command_of(name).params if isinstance(option, click.Option) and not option.hidden)


def words(text: str) -> str:
    """Return a text with single spaces, without the line breaks of a help page, also after hyphens."""
    return " ".join(text.split()).replace("- ", "-")


NAMES = ["", *sorted(COMMANDS)]


@pytest.mark.parametrize("name", NAMES)
def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Help begins with the usage, describes the command, and is no wider than 80 columns."""
    text = help_of(capsys, *shlex.split(name))
    assert text.startswith(f"Usage: {' '.join(['mpal', *shlex.split(name)])} ")
    assert words((command_of(name).help or "").split("\n\n")[0]) in words(text)
    assert [line for line in text.splitlines() if len(line) > WIDTH] == []
    assert "\\" not in text  # a mark for click that click did not see


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_explained(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Every option is in the help, with a sentence that explains it."""
    text = words(help_of(capsys, *shlex.split(name)))
    for option in options_of(name):
        assert option.help, option.name
        assert words(option.help) in text
        for flag in (*option.opts, *option.secondary_opts):
            assert re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text), flag


@pytest.mark.parametrize("name", NAMES)
def test_variables_are_named(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """The help of every option with an environment variable names it."""
    text = words(help_of(capsys, *shlex.split(name)))
    for option in options_of(name):
        flag = max(option.opts, key=len).removeprefix("--")
        # Once, now, or for another endpoint: what the setting says for good is not meant.
        own = (name, flag) in (("cleanup", "max-size"), ("explain", "key"))
        if flag in BY_NAME and option.expose_value and name and not own:
            assert f"[env: {BY_NAME[flag].env}]" in text or str(option.envvar) in text
        if option.envvar:
            assert str(option.envvar) in text


def test_every_setting_has_a_flag_and_a_variable(capsys: pytest.CaptureFixture[str]) -> None:
    """`mpal start --help` shows the flag and the variable of every setting."""
    text = words(help_of(capsys, "start"))
    for setting in BY_NAME.values():
        assert f"--{setting.name} " in text
        assert f"[env: {setting.env}]" in text


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_no_secret(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Help does not repeat secrets from the environment."""
    monkeypatch.setenv("MOONPALACE_KEY", KEY)
    monkeypatch.setenv("MOONPALACE_TOKEN", TOKEN)
    monkeypatch.setenv("MOONPALACE_UPSTREAM_PROXY", f"http://user:{KEY}@proxy:1")
    text = help_of(capsys, *shlex.split(name))
    assert "must-not-be-shown" not in text


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_command_is_the_same(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """`mpal help COMMAND` and `-h` print the same as `mpal COMMAND --help`."""
    expected = help_of(capsys, name)
    for arguments in (["help", name], [name, "-h"]):
        assert main(arguments) == 0
        assert capsys.readouterr().out == expected


def test_group_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`mpal --help`, and `mpal` alone, list every command with a description."""
    text = help_of(capsys)
    for name, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(words(line)[:30])}", text, re.MULTILINE), name
    assert main([]) == 0
    assert capsys.readouterr().out == text


# ---- the original's flags -----------------------------------------------------------------------------------------

# Every flag of the original's document and of its own help, with a value it takes there.
DOCUMENTED: list[str] = [
    "--help",
    "-h",
    "--version",
    "-v",
    "--endpoint https://api.moonshot.ai list",
    "help list",
    "completion bash",
    "completion zsh",
    "completion fish",
    "start",
    "start --port 9988",
    "start -p 9988",
    "start --key sk-xxxxxxxx",
    "start -k sk-xxxxxxxx",
    "start --endpoint https://api.moonshot.cn",
    "list",
    "list -n 100",
    "list --n 100",
    "list --chatonly",
    "list -v",
    "list --verbose",
    "list --predicate \"response_body.choices.0.finish_reason == 'length'\"",
    "list -p 'id > 1' -p 'id < 3'",
    "list --export folder",
    "list --export folder --escape-html",
    "list --endpoint https://api.moonshot.cn",
    "inspect --id 13",
    "inspect --chatcmpl chatcmpl-2e1aa823e2c94ebdad66450a0e6df088",
    "inspect --requestid c07c118e-4dae-11ef-b423-62db244b9277",
    "inspect --id 13 --print request_body,response_body",
    "inspect --id 13 --print metadata,request_header,request_body,response_header,response_body,error",
    "inspect --id 13 --print metadata --print error",
    "inspect --id 13 --print-request",
    "inspect --id 13 --print-response",
    "inspect --id 13 --print-response --merge-event-stream",
    "inspect --id 13 --endpoint https://api.moonshot.cn",
    "export --id 13",
    "export --chatcmpl chatcmpl-2e1aa823e2c94ebdad66450a0e6df088",
    "export --requestid c07c118e-4dae-11ef-b423-62db244b9277",
    "export --id 13 --good --tag code --tag python --directory .",
    "export --id 13 --bad",
    "export --id 13 --curl",
    "export --id 13 --escape-html",
    "export --id 13 -o stdout",
    "export --id 13 --output stdout",
    "export --id 13 --endpoint https://api.moonshot.cn",
    "start --port 0 --detect-repeat --repeat-threshold 0.3 --repeat-min-length 20",
    "start --port 0 --force-stream",
    "start --port 0 --auto-cache --cache-min-bytes 4096 --cache-ttl 90 --cache-cleanup 86400",
    "cleanup",
    "cleanup --before 2024-07-29",
    "cleanup --endpoint https://api.moonshot.cn",
]


@pytest.fixture(name="empty_store")
def empty_store_at_home(surroundings: Path, empty_store: Path) -> None:
    """Put an empty store into the home."""
    shutil.copyfile(empty_store, surroundings / "moonpalace.sqlite")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Record what `mpal start` would serve instead of serving it."""
    from moonpalace_cli.proxy import console_log

    class Log:
        def finish(self) -> None: ...

    served: list[object] = []
    monkeypatch.setattr(console_log, "install", lambda _: Log())
    monkeypatch.setattr(serving, "serve", lambda settings, _: served.append(settings))
    monkeypatch.setattr("setproctitle.setproctitle", lambda _: None)
    return served


@pytest.mark.usefixtures("empty_store")
@pytest.mark.parametrize("line", DOCUMENTED)
def test_documented_flag_is_accepted(capsys: pytest.CaptureFixture[str], started: list[object], line: str) -> None:
    """A documented command line works; on an empty store the lookups of one call print nothing, with exit code 1."""
    code = main(shlex.split(line))
    error = capsys.readouterr().err
    looks_up = line.startswith(("inspect", "export"))
    assert code == (1 if looks_up else 0), error
    assert (error == "") is not looks_up
    assert len(started) == line.startswith("start")
