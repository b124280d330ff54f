"""`mpal why`: why a call ended as it did."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from moonpalace_cli.flags.colour import colour_flag
from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.selecting import CallSelection, selection_flags
from moonpalace_cli.flags.setting_flags import setting_flags

if TYPE_CHECKING:
    from moonpalace_addons.settings.values import Settings

NOTHING = (
    "nothing that is stored shows a fault; mpal inspect --timeline and --chat show more, mpal explain asks a model"
)


@click.command("why")
@selection_flags(views=True, default="newest")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per call.")
@colour_flag
@setting_flags("database", "endpoint")
def command(selected: CallSelection, as_json: bool, settings: Settings) -> None:
    """Explain why a call ended as it did, by default the newest: first the evidence, then what to do.

    It recognises answers cut by a limit or a full context, loops, keys at the wrong host, rate limits, silences,
    gateways that cut connections, clients that gave up, arguments of tools that are not JSON, and lost caches.

    In a Chinese locale the output is in Chinese; --json is always in English.
    """
    with opened(settings.database, needs_calls=True) as engine:
        from moonpalace_addons.store.read import selection
        from moonpalace_addons.store.read.outcomes import outcome
        from moonpalace_cli.explaining.language import terminal_language
        from moonpalace_cli.output import print_json, terminal_width
        from moonpalace_cli.text.tables import fold
        from moonpalace_cli.views.showing.facts import read_facts
        from moonpalace_cli.views.showing.phrases import Phrase, translated
        from moonpalace_cli.views.showing.reasons import reasons
        from moonpalace_cli.views.showing.screen import WIDTH, reason_lines

        language = terminal_language()
        for call in selection.in_order(engine, selected.find(engine)):
            causes = list(reasons(read_facts(engine, call)))
            if as_json:
                document = {
                    "id": call.id,
                    "outcome": outcome(call).text,
                    "reasons": [each.document() for each in causes],
                }
                print_json(json.dumps(document, ensure_ascii=False))
                continue
            click.echo(f"#{call.id} {translated(outcome(call).text, language)}")
            width = terminal_width() or WIDTH
            lines = reason_lines(causes, width, language) or fold(Phrase(NOTHING).in_language(language), width)
            click.echo("\n".join(lines))
