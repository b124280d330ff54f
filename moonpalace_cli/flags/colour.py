"""The flag that chooses colours; click keeps the choice in its context, where `text.colours.wanted` reads it."""

import click

CHOICES = {"auto": None, "always": True, "never": False}


def choose(context: click.Context, _: click.Parameter, name: str | None) -> None:
    """Note the choice for this command, and for the one that follows; without one, what was chosen before stays."""
    if name is not None:
        context.color = CHOICES[name]


def colour_flag[F](function: F) -> F:
    """Add --color to a command."""
    option = click.option(
        "--color",
        type=click.Choice(list(CHOICES)),
        expose_value=False,
        callback=choose,
        help="Colours: on a terminal (auto, unless NO_COLOR is set), always, or never.",
    )
    return option(function)  # type: ignore[type-var]
