"""Entry point of `mpal`: find the command, and turn errors into one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Sequence

import click

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.version import __version__
from moonpalace_addons.wire.escaping import escaped
from moonpalace_cli.deferred_imports import uncollected
from moonpalace_cli.flags.colour import colour_flag
from moonpalace_cli.flags.meant import ALIASES, SuggestingGroup, argument_error, flag_error
from moonpalace_cli.flags.meant import COMMANDS as MEANT
from moonpalace_cli.flags.process_title import hide_secrets
from moonpalace_cli.output import make_streams_lenient, note, open_missing_streams

COMMANDS = {
    "addon-path": ("addon_path", "Print the path of the script for mitmdump and mitmweb."),
    "cache": ("cache", "Show context caches, and why a prompt was not cached."),
    "cleanup": ("cleanup", "Delete old calls."),
    "completion": ("completion", "Print the completion script for a shell."),
    "config": ("config", "Show every setting and where it comes from, or write a file."),
    "cost": ("cost", "Add up the cost of calls, and what the cache saved."),
    "demo": ("demo", "Show what MoonPalace does, without an account or a network."),
    "doctor": ("doctor", "Check the store's health, and search it for secrets."),
    "explain": ("explain", "Ask a model what went wrong with a call, and what to change."),
    "export": ("export", "Export calls as JSON, commands, HAR, data sets or reports."),
    "help": ("help_", "Show the help of a command."),
    "import": ("import_", "Import calls from another store."),
    "inspect": ("inspect", "Show one call in full."),
    "label": ("label", "Mark stored calls as good or bad, tag them, add a note."),
    "list": ("list_", "List the newest calls."),
    "log": ("log", "Show the newest calls as one line each, and follow new ones."),
    "mcp": ("mcp_", "Serve the store to coding agents (MCP)."),
    "mock": ("mock", "Serve a mock of the Kimi API, to develop and test without a key or a network."),
    "otel": ("otel", "Send stored calls to OpenTelemetry."),
    "predicate": ("predicate", "Explain a predicate: its meaning, its SQL, and whether it uses an index."),
    "report": ("report", "Send reports of calls to a tracker, a mailbox, a chat or a folder."),
    "show": ("show", "Show one call on one screen, and why it ended as it did."),
    "start": ("start", "Start the proxy."),
    "version": ("version", "Show the version."),
    "web": ("web", "Show the stored calls in the browser."),
    "why": ("why", "Explain why a call was cut off, slow or refused, and what to do."),
}
"""The module of each command in `moonpalace_cli.commands`, which defines `command`, and its line in the help.

A module is imported when its command runs: importing all of them would make `mpal --help` many times slower.
"""


SUBCOMMANDS = ("list", "show", "clear", "why")
"""The commands of `mpal cache`."""


class UnexpectedError(MoonPalaceError):
    """A bug of ours, reported in one line."""


class OutputError(MoonPalaceError):
    """Standard output cannot be written to."""


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""Errors of writes to a full or closed standard output; errors of our own files name the file."""


class CommandGroup(SuggestingGroup):
    """A group that imports each command on demand."""

    aliases, words = ALIASES, MEANT

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; return None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, text = COMMANDS[cmd_name]
        with uncollected():
            command: click.Command = importlib.import_module(f"moonpalace_cli.commands.{module}").command
        command.short_help = text
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; report an unexpected exception in one line unless --traceback is given."""
        try:
            return super().invoke(ctx)
        except (MoonPalaceError, click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params["traceback"]:
                raise
            if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
                raise OutputError(f"cannot write the output: {error.strerror}") from error
            words = " ".join(f"{type(error).__name__}: {error}".split())
            raise UnexpectedError(f"unexpected {words} (mpal --traceback shows where)") from error


@click.group(
    cls=CommandGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='"mpal COMMAND --help" shows more about a command.',
)
@click.option("--endpoint", metavar="URL", help="The API that calls are forwarded to, for every command.")
@click.option("--database", metavar="URL", help="The database that stores the calls, for every command.")
@colour_flag
@click.option("--traceback", is_flag=True, hidden=True, help="Show where an unexpected error arose.")
@click.version_option(__version__, "-v", "--version", message="mpal %(version)s")
@click.pass_context
def cli(context: click.Context, endpoint: str | None, database: str | None, traceback: bool) -> None:
    """Debug the Kimi (Moonshot AI) API: a proxy that stores every call, and commands to search and export them."""
    options = {"setting_endpoint": endpoint, "setting_database": database}
    defaults = {name: value for name, value in options.items() if value is not None}
    if defaults:
        # As if it were given to the command: `setting_flags` uses it as a default, and the command's own flag takes
        # precedence.
        names = (*COMMANDS, *(alias[0] for alias in ALIASES.values()))
        context.default_map = {name: defaults | dict.fromkeys(SUBCOMMANDS, defaults) for name in names}
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `mpal` and return its exit code: 1 for errors, 2 for wrong usage, 130 when interrupted."""
    open_missing_streams()
    make_streams_lenient()
    hide_secrets(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(arguments, prog_name="mpal", standalone_mode=False)
        sys.stdout.flush()
    except MoonPalaceError as error:
        if isinstance(error, OutputError):
            stop_writing()
        return report(str(error), error.exit_code, error.detail)
    except click.ClickException as error:
        return report(usage_error(error), error.exit_code)
    except click.Abort:
        return 130
    except BrokenPipeError:
        return stop_writing()
    except OSError as error:  # the final flush
        stop_writing()
        return report(f"cannot write the output: {error.strerror}", 1)
    return code if isinstance(code, int) else 0


def report(message: str, exit_code: int, detail: str = "") -> int:
    """Print an error in one line, and below it its origin; return its exit code."""
    with contextlib.suppress(OSError):  # standard error is closed too
        note(escaped(f"Error: {' '.join(message.splitlines())}"))
        if detail:
            click.echo(escaped(detail), err=True)
    return exit_code


def usage_error(error: click.ClickException) -> str:
    """Return click's message in one line, with a pointer to the help."""
    if isinstance(error, click.NoSuchOption):
        message = flag_error(error)
    else:
        message = argument_error(error) if isinstance(error, click.UsageError) else error.format_message()
    message = " ".join(message.split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        message = f"{message.rstrip('.')} (see {error.ctx.command_path} --help)"
    return message


def stop_writing() -> int:
    """Redirect standard output to nothing, so that the interpreter's final flush does not fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


if __name__ == "__main__":
    sys.exit(main())
