"""Suggestions for a mistyped flag or command: first by meaning, then by spelling."""

import re
from collections.abc import Mapping, Sequence

import click

from moonpalace_addons.wire.suggestions import did_you_mean, either, nearest

ALIASES = {"ls": ("list",), "tail": ("log", "-f")}
"""Aliases of commands, with the arguments that they stand for."""

MAX_NAMED = 6
"""Maximum commands of a group that are named in an error."""
NUMBER = re.compile(r"#?[0-9]+")
EXTRA = re.compile(r"unexpected extra arguments? \((.*)\)")
"""How click names arguments of a command that takes none."""

COMMANDS = {
    **dict.fromkeys(("get", "view", "open", "detail", "details"), ("show", "inspect")),
    **dict.fromkeys(("logs", "history"), ("log", "list")),
    **dict.fromkeys(("watch", "follow"), ("log -f",)),
    **dict.fromkeys(("search", "find", "grep", "query", "filter"), ("list --grep", "list --predicate")),
    **dict.fromkeys(("delete", "remove", "rm", "clean", "clear", "prune", "purge"), ("cleanup",)),
    **dict.fromkeys(("run", "serve", "proxy", "up"), ("start",)),
    **dict.fromkeys(("stats", "statistics", "count"), ("list --stats", "list --count")),
    **dict.fromkeys(("price", "costs", "spend", "usage", "tokens"), ("cost",)),
    **dict.fromkeys(("tag", "mark", "note"), ("label",)),
    **dict.fromkeys(("curl", "replay", "share"), ("export",)),
    **dict.fromkeys(("check", "status", "health"), ("doctor",)),
    **dict.fromkeys(("debug", "diagnose"), ("why", "explain")),
    **dict.fromkeys(("load", "migrate"), ("import",)),
    **dict.fromkeys(("diff", "compare"), ("web", "cache why")),
}
"""Words of other tools, and the commands that do the same here."""

FLAGS = {
    **dict.fromkeys(("--limit", "--number", "--max", "--head", "--num"), ("--n", "--last")),
    **dict.fromkeys(("--filter", "--where", "--query", "--expr"), ("--predicate",)),
    **dict.fromkeys(("--search", "--find", "--text", "--contains"), ("--grep",)),
    **dict.fromkeys(("--tail", "--live"), ("--follow", "--watch")),
    **dict.fromkeys(("--error", "--errors", "--failures", "--fail"), ("--failed",)),
    **dict.fromkeys(("--truncated", "--length", "--incomplete"), ("--cut",)),
    **dict.fromkeys(("--after", "--from", "--start"), ("--since",)),
    **dict.fromkeys(("--before", "--to", "--end"), ("--until",)),
    **dict.fromkeys(("--code", "--state", "--status-code"), ("--status",)),
    **dict.fromkeys(("--order", "--order-by", "--sort-by"), ("--sort",)),
    **dict.fromkeys(("--fields", "--select", "--column"), ("--columns",)),
    **dict.fromkeys(("--db", "--store", "--sqlite"), ("--database",)),
    **dict.fromkeys(("--dir", "--folder", "--out-dir"), ("--directory", "--export")),
    **dict.fromkeys(("--listen", "--bind", "--address"), ("--host",)),
    **dict.fromkeys(("--url", "--upstream", "--target", "--base-url"), ("--endpoint",)),
    **dict.fromkeys(("--api-key", "--apikey"), ("--key",)),
    **dict.fromkeys(("--silent", "--verbose-off"), ("--quiet",)),
    **dict.fromkeys(("--anonymize", "--anonymise", "--mask"), ("--redact",)),
    **dict.fromkeys(("--latest", "--newest", "--recent"), ("--last",)),
    **dict.fromkeys(("--conversation", "--messages"), ("--chat",)),
    **dict.fromkeys(("--events", "--times"), ("--timeline",)),
}
"""Names of flags in other tools, and the flags with the same meaning here."""


class SuggestingGroup(click.Group):
    """A group that answers an unknown command with similar ones, or else with its own commands."""

    aliases: Mapping[str, Sequence[str]] = {}
    words: Mapping[str, Sequence[str]] = {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command by its name or an alias."""
        name, *others = args
        if name in self.aliases:
            return super().resolve_command(ctx, [*self.aliases[name], *others])
        names = self.list_commands(ctx)
        if name not in names and not name.startswith("-") and not ctx.resilient_parsing:
            hint = command_hint(name, names, self.words)
            ctx.fail(f"no command {name!r}" + (f"; {hint}" if hint else ""))
        return super().resolve_command(ctx, args)


def command_hint(name: str, names: Sequence[str], words: Mapping[str, Sequence[str]]) -> str:
    """Return a question that names similar commands, or else the commands of a small group; empty for a large one."""
    if suggested := words.get(name.lower()):
        return f"did you mean {either(suggested)}?"
    return did_you_mean(name, names) or (f"there is {either(names)}" if len(names) <= MAX_NAMED else "")


def argument_error(error: click.UsageError) -> str:
    """Return the message for arguments of a command that takes none; a number is often a call or a limit."""
    message = error.format_message()
    match = EXTRA.search(message)
    if match is None or error.ctx is None:
        return message
    hint = f"; mpal show {match[1]} shows that call" if NUMBER.fullmatch(match[1]) else ""
    if hint and "-n" in flags_of(error.ctx):
        hint += f", -n {match[1]} sets how many are listed"
    return f"{error.ctx.command_path} takes no argument {match[1]!r}{hint}"


def flags_of(context: click.Context) -> list[str]:
    """Return the flags of a command."""
    options = (each for each in context.command.params if isinstance(each, click.Option) and not each.hidden)
    return [flag for option in options for flag in option.opts]


def flag_error(error: click.NoSuchOption) -> str:
    """Return the message for an unknown flag: with the flag that has this meaning, or the nearest spelling."""
    name = error.option_name
    flags = flags_of(error.ctx) if error.ctx is not None else []
    if number := re.fullmatch(r"-([0-9]+)", name):
        ways = [f"{flag} {number[1]}" for flag in ("--last", "-n") if flag in flags]
        return f"no option {name}" + (f"; for the newest {number[1]} write {ways[0]}" if ways else "")
    suggested = [flag for flag in FLAGS.get(name.lower(), ()) if flag in flags]
    words = [flag.removeprefix("--") for flag in flags if flag.startswith("--")]
    near = suggested or [f"--{word}" for word in nearest(name.lstrip("-"), words)]
    return f"no option {name}" + (f"; did you mean {either(near)}?" if near else "")
