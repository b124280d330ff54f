"""`mpal show`: one call on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from moonpalace_cli.flags.colour import colour_flag
from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.selecting import CallSelection, selection_flags
from moonpalace_cli.flags.setting_flags import setting_flags

if TYPE_CHECKING:
    from moonpalace_addons.settings.values import Settings


@click.command("show")
@selection_flags(views=True, default="newest")
@colour_flag
@setting_flags("database", "endpoint")
def command(selected: CallSelection, settings: Settings) -> None:
    """Show one call on one screen, by default the newest: mpal show, mpal show 13, mpal show --failed.

    It shows what the call was, how it ended and why, the question and the answer in short, its tokens and cost, its
    times with the longest stall, its warnings and labels, and what to try next. mpal inspect shows a call in full.

    In a Chinese locale the output is in Chinese.
    """
    with opened(settings.database, needs_calls=True) as engine:
        from moonpalace_addons.store.read import selection
        from moonpalace_cli.explaining.language import terminal_language
        from moonpalace_cli.output import terminal_width
        from moonpalace_cli.text import colours
        from moonpalace_cli.views.showing.facts import read_facts
        from moonpalace_cli.views.showing.reasons import reasons
        from moonpalace_cli.views.showing.screen import Screen

        language = terminal_language()
        for place, call in enumerate(selection.in_order(engine, selected.find(engine))):
            facts = read_facts(engine, call)
            why = list(reasons(facts))
            screen = Screen(facts, why, terminal_width(), colour=colours.wanted(), language=language)
            click.echo("\n" * (place > 0) + "\n".join(screen.lines()))
