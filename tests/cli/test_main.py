"""Tests of `mpal` itself: its commands, its errors, and the cost of starting it."""

import errno
import os
import subprocess
import sys
import types
from pathlib import Path

import click
import pytest

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.version import __version__
from moonpalace_cli.main import COMMANDS, cli
from tests.cli.conftest import Mpal, Store
from tests.tables import for_each

HELP = """\
Usage: mpal [OPTIONS] [COMMAND] [ARGS]...

  Debug the Kimi (Moonshot AI) API: a proxy that stores every call, and
  commands to search and export them.

Options:
  --endpoint URL  The API that calls are forwarded to, for every command.
  --database URL  The database that stores the calls, for every command.
  --color WHEN    Colours: auto, always or never; auto heeds NO_COLOR.
  -v, --version   Show the version and exit.
  -h, --help      Show this message and exit.

Commands:
  addon-path  Print the path of the script for mitmdump and mitmweb.
  cache       Show context caches, and why a prompt was not cached.
  cleanup     Delete old calls.
  completion  Print the completion script for a shell.
  config      Show every setting and where it comes from, or write a file.
  cost        Add up the cost of calls, and what the cache saved.
  demo        Show what MoonPalace does, without an account or a network.
  doctor      Check the store's health, and search it for secrets.
  explain     Ask a model what went wrong with a call, and what to change.
  export      Export calls as JSON, commands, HAR, data sets or reports.
  help        Show the help of a command.
  import      Import calls from another store.
  inspect     Show one call in full.
  label       Mark stored calls as good or bad, tag them, add a note.
  list        List the newest calls.
  log         Show the newest calls as one line each, and follow new ones.
  mcp         Serve the store to coding agents (MCP).
  mock        Serve a mock of the Kimi API, to develop and test without a key
              or a network.
  otel        Send stored calls to OpenTelemetry.
  predicate   Explain a predicate: its meaning, its SQL, and whether it uses
              an index.
  report      Send reports of calls to a tracker, a mailbox, a chat or a
              folder.
  show        Show one call on one screen, and why it ended as it did.
  start       Start the proxy.
  version     Show the version.
  web         Show the stored calls in the browser.
  why         Explain why a call was cut off, slow or refused, and what to do.

  "mpal COMMAND --help" shows more about a command.
"""


def run_mpal(code: str, *, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run Python code in a separate process that finds our modules."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path} | (environment or {}),
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help(mpal: Mpal, arguments: list[str]) -> None:
    """Without a command, or on request, the commands are listed."""
    result = mpal(*arguments)
    assert (result.code, result.out, result.err) == (0, HELP, "")


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_version(mpal: Mpal, flag: str) -> None:
    """The version is one line."""
    assert mpal(flag).out == f"mpal {__version__}\n"


@pytest.mark.parametrize("name", ["list", "inspect", "export", "cleanup", "completion"])
def test_help_of_a_command(mpal: Mpal, name: str) -> None:
    """`help COMMAND`, `COMMAND --help` and `COMMAND -h` are the same."""
    shown = {mpal(*arguments).out for arguments in (["help", name], [name, "--help"], [name, "-h"])}
    assert len(shown) == 1
    assert shown.pop().startswith(f"Usage: mpal {name} ")


def test_help_of_a_command_in_a_group(mpal: Mpal) -> None:
    """`help GROUP COMMAND` is `GROUP COMMAND --help`."""
    assert mpal("help", "cache", "why") == mpal("cache", "why", "--help")


@for_each("name", COMMANDS)
def test_table_of_commands_is_true(name: str) -> None:
    """Each module has the command of its name; its line in the help is correct."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert (command.name, command.get_short_help_str(limit=100)) == (name, COMMANDS[name][1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lst"], "no command 'lst'; did you mean list? (see mpal --help)"),
        (["nosuch"], "no command 'nosuch' (see mpal --help)"),
        (["help", "nosuch"], "no command 'nosuch' (see mpal --help)"),
        (["help", "cache", "nosuch"], "no command 'nosuch'; there is clear, list, show or why (see mpal cache --help)"),
        (["help", "list", "nosuch"], "no command 'nosuch' (see mpal list --help)"),
        (["--endpoint"], None),
        (["--unknown"], None),
        (["list", "--unknown"], None),
        (["--endpoint", "ftp://x", "list"], None),
    ],
)
def test_wrong_usage(mpal: Mpal, arguments: list[str], message: str | None) -> None:
    """Wrong usage is one line on standard error and exit code 2."""
    result = mpal(*arguments)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message is None or result.err == f"Error: {message}\n"


def command_that(raises: BaseException) -> click.Command:
    """Return a command that fails in this way."""

    def fail() -> None:
        raise raises

    return click.Command("list", callback=fail)


@pytest.mark.parametrize(
    ("raised", "code", "err"),
    [
        (MoonPalaceError("one\ntwo"), 1, "Error: one two\n"),
        (click.UsageError("wrong"), 2, "Error: wrong (see mpal list --help)\n"),
        (KeyboardInterrupt(), 130, "\n"),
        (
            ZeroDivisionError("by\nzero"),
            1,
            "Error: unexpected ZeroDivisionError: by zero (mpal --traceback shows where)\n",
        ),
    ],
)
def test_errors_of_commands(
    mpal: Mpal, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, err: str
) -> None:
    """Any exception of a command gives one line and an exit code."""
    module = types.SimpleNamespace(command=command_that(raised))
    monkeypatch.setitem(sys.modules, "moonpalace_cli.commands.list_", module)
    result = mpal("list")
    assert (result.code, result.out, result.err) == (code, "", err)


def test_a_full_disk(mpal: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output to a full disk is not a bug of ours, and reported as such."""
    module = types.SimpleNamespace(command=command_that(OSError(errno.ENOSPC, "No space left on device")))
    monkeypatch.setitem(sys.modules, "moonpalace_cli.commands.list_", module)
    result = mpal("list")
    assert (result.code, result.err) == (1, "Error: cannot write the output: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["help", "columns"]])
def test_output_that_cannot_be_written(arguments: list[str]) -> None:
    """Whenever the output cannot be written, there is one line."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "moonpalace_cli.main", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (1, "Error: cannot write the output: No space left on device\n")


def test_traceback_on_request(mpal: Mpal, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --traceback an unexpected error is not caught."""
    module = types.SimpleNamespace(command=command_that(ZeroDivisionError()))
    monkeypatch.setitem(sys.modules, "moonpalace_cli.commands.list_", module)
    with pytest.raises(ZeroDivisionError):
        mpal("--traceback", "list")


def test_endpoint_is_a_flag_of_all_commands(store: Store, mpal: Mpal) -> None:
    """`--endpoint` is accepted before and after the command, like in the original, and checked in both places."""
    store.add()
    assert mpal("--endpoint", "http://127.0.0.1:1", "list").code == 0
    assert mpal("list", "--endpoint", "http://127.0.0.1:1").code == 0
    assert mpal("--endpoint", "ftp://x", "list", "--endpoint", "http://127.0.0.1:1").code == 0
    assert mpal("--endpoint", "ftp://x", "list").err == mpal("list", "--endpoint", "ftp://x").err


@pytest.mark.parametrize("calls", [1, 500])
def test_closed_pipe(store: Store, calls: int) -> None:
    """If the reader leaves early, mpal ends without a message."""
    for _ in range(calls):
        store.add()
    code = "import sys\nfrom moonpalace_cli.main import main\nsys.exit(main(['list', '-n', '5000', '--json']))"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (1, b"")


@pytest.mark.parametrize("encoding", ["gbk", "ascii"])
@pytest.mark.parametrize("arguments", [["list"], ["inspect", "--id", "1", "--print", "request_body"]])
def test_other_encodings(store: Store, encoding: str, arguments: list[str]) -> None:
    """A locale without Chinese or emoji gets escapes, aligned, and no traceback."""
    store.add(chatcmpl_id="中🚀", request='["🚀中"]'.encode())
    code = f"import sys\nfrom moonpalace_cli.main import main\nsys.exit(main({arguments}))"
    ran = run_mpal(code, environment={"PYTHONIOENCODING": encoding})
    assert (ran.returncode, ran.stderr) == (0, b"")
    lines = ran.stdout.decode(encoding).splitlines()
    assert len({len(line.encode("gbk")) for line in lines}) == 1
    assert "\\ud83d\\ude80" in ran.stdout.decode(encoding)
