"""What a mistyped flag or command may have meant: by its meaning, then by its spelling."""

from collections.abc import Iterable

import click

from moonpalace_addons.wire.suggestions import did_you_mean, either, nearest

ALIASES = {"ls": ("list",), "tail": ("log", "-f")}
"""Other names of commands, with the arguments that they stand for."""

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
    **dict.fromkeys(("curl", "replay", "report", "share"), ("export",)),
    **dict.fromkeys(("check", "status", "health"), ("doctor",)),
    **dict.fromkeys(("debug", "diagnose"), ("why", "explain")),
    **dict.fromkeys(("load", "migrate"), ("import",)),
}
"""Words of other tools, and the commands that do here what they do there."""

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
"""Names of flags in other tools, and those here that mean the same."""


def command_hint(name: str, known: Iterable[str]) -> str:
    """Return a question that names the command that may be meant, empty if none may."""
    if meant := COMMANDS.get(name.lower()):
        return f"did you mean {either(meant)}?"
    return did_you_mean(name, known)


def flag_error(error: click.NoSuchOption) -> str:
    """Return the message for an unknown flag: with the flag that has this meaning, or the nearest spelling."""
    name = error.option_name
    parameters = error.ctx.command.params if error.ctx is not None else []
    known = [flag for each in parameters if isinstance(each, click.Option) and not each.hidden for flag in each.opts]
    meant = [flag for flag in FLAGS.get(name.lower(), ()) if flag in known]
    words = [flag.removeprefix("--") for flag in known if flag.startswith("--")]
    near = meant or [f"--{word}" for word in nearest(name.lstrip("-"), words)]
    return f"no option {name}" + (f"; did you mean {either(near)}?" if near else "")
