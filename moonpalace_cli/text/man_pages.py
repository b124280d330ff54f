"""Write a man page for each command, from its help."""

import re
from collections.abc import Iterator
from inspect import cleandoc

import click

HANGING = "\b"
"""Click's mark before a paragraph whose line ends are kept."""


def pages(
    program: click.Command, name: str, version: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the file name and the text of the page of a command, and of all its subcommands."""
    context = click.Context(program, info_name=name, parent=parent, **program.context_settings)
    title = context.command_path.replace(" ", "-")
    yield f"{title}.1", "\n".join([*page(context, title, version), ""])
    if isinstance(program, click.Group):
        for each in program.list_commands(context):
            if (command := program.get_command(context, each)) is not None:
                yield from pages(command, each, version, context)


def page(context: click.Context, title: str, version: str) -> Iterator[str]:
    """Yield the lines of a page."""
    command = context.command
    yield f'.TH {escaped(title.upper())} 1 "" "MoonPalace {version}"'
    yield from (".SH NAME", f"{escaped(title)} \\- {escaped(command.get_short_help_str(limit=200))}")
    pieces = escaped(" ".join(command.collect_usage_pieces(context)))
    yield from (".SH SYNOPSIS", f"\\fB{escaped(context.command_path)}\\fP {pieces}")
    yield from (".SH DESCRIPTION", *paragraphs(cleandoc(command.help or "")))
    options = [each.get_help_record(context) for each in command.get_params(context)]
    yield from entries("OPTIONS", [each for each in options if each is not None])
    if isinstance(command, click.Group):
        subcommands = ((each, command.get_command(context, each)) for each in command.list_commands(context))
        yield from entries(
            "COMMANDS", [(name, each.get_short_help_str(limit=200)) for name, each in subcommands if each]
        )
    if context.parent is not None:
        yield from (".SH SEE ALSO", f"\\fB{escaped(context.parent.command_path.replace(' ', '-'))}\\fP(1)")


def paragraphs(text: str) -> Iterator[str]:
    """Yield the lines of a text with its paragraphs; those whose line ends are kept are not filled."""
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line for line in paragraph.splitlines() if line.strip() != HANGING]
        keeps = len(lines) < len(paragraph.splitlines())
        yield ".PP"
        yield from ([".nf", *map(escaped, lines), ".fi"] if keeps else [escaped(" ".join(" ".join(lines).split()))])


def entries(title: str, named: list[tuple[str, str]]) -> Iterator[str]:
    """Yield a section of names with their meanings; nothing if there are none."""
    if named:
        yield f".SH {title}"
    for name, meaning in named:
        yield from (".TP", f"\\fB{escaped(name)}\\fP", escaped(" ".join(meaning.split())))


def escaped(text: str) -> str:
    """Return a text in ASCII that troff does not interpret."""
    result = text.replace("\\", "\\e").replace("-", "\\-")
    if not result.isascii():
        result = "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in result)
    return f"\\&{result}" if result.startswith((".", "'")) else result
