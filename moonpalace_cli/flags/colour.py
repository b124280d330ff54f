"""The flag that chooses colours; click keeps the choice in its context, where `text.colours.wanted` reads it."""

import click

CHOICES = {"auto": None, "always": True, "never": False}


def choose(context: click.Context, _: click.Parameter, name: str | None) -> None:
    """Store the choice for this command and its subcommand; without one, an earlier choice is kept."""
    if name is not None:
        context.color = CHOICES[name]


def colour_flag[F](function: F) -> F:
    """Add --color to a command."""
    option = click.option(
        "--color",
        type=click.Choice(list(CHOICES)),
        metavar="WHEN",
        expose_value=False,
        callback=choose,
        help="Colours: auto, always or never; auto heeds NO_COLOR.",
    )
    return option(function)  # type: ignore[type-var]
