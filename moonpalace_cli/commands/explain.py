"""`mpal explain`: a model says what went wrong with a call, and what to change."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.selecting import CallSelection, selection_flags
from moonpalace_cli.flags.setting_flags import ASKING, setting_flags

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.settings.values import Settings
    from moonpalace_cli.explaining.prompt import Prompt
    from moonpalace_cli.explaining.record import Subject


@click.command("explain")
@selection_flags(default="newest", of_programs=True)
@click.option("--question", metavar="TEXT", help="Ask this about the call, instead of what went wrong.")
@click.option("--again", is_flag=True, help="Ask again, even if there is an explanation.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing.")
@click.option("-y", "--yes", is_flag=True, help="Send it without showing it first.")
@click.option("--via", metavar="URL", help="Endpoint to ask: a base URL without /v1, or a name under endpoints:.")
@click.option("--via-model", metavar="NAME", help="Model to ask.")
@click.option("--key", metavar="TEXT", help="Key for that endpoint. Default: explain.key, else MOONSHOT_API_KEY.")
@setting_flags(*ASKING)
def command(
    selected: CallSelection,
    question: str | None,
    again: bool,
    dry_run: bool,
    yes: bool,
    via: str | None,
    via_model: str | None,
    key: str | None,
    settings: Settings,
) -> None:
    """Ask a model to explain a call, by default the newest: what went wrong, how that shows, and what to change.

    With filters it explains what the matching calls have in common: mpal explain --failed --since -1h.

    The model gets a digest of the call: what mpal why found, the error, the parameters, the messages around the
    problem, the end of the answer, and the times. Keys, accounts, e-mail addresses and files are replaced as mpal
    export --redact does. The digest is shown before it is sent to a model for the first time; --dry-run always shows
    it, and sends nothing.

    The model is kimi-k3 at the Kimi API with the key in MOONSHOT_API_KEY, unless config.yaml says otherwise under
    explain: (endpoint, model, key, tokens). Any endpoint that serves OpenAI's chat completions works, also a local one.
    The explanation is kept with the call; the request for it is stored as a call of its own, with its cost.
    """
    from moonpalace_cli.explaining.language import language_of
    from moonpalace_cli.explaining.target import find_target

    target = find_target(settings, os.environ, via=via, model=via_model, key=key)
    with opened(settings.database) as engine:
        from moonpalace_addons.store.records import explanations
        from moonpalace_cli.explaining import terminal
        from moonpalace_cli.explaining.record import MAX_CALLS, Subject, cleaned

        ids = selected.find(engine)
        subject = Subject(ids[-MAX_CALLS:], len(ids), cleaned(question), language_of(os.environ))
        if not (again or dry_run) and (stored := explanations.of_exactly(engine, *subject.key)):
            terminal.print_kept(stored)
            return
        prompt = make(engine, subject, settings)
        if dry_run:
            terminal.print_prompt(target, prompt)
            return
        terminal.refuse_without_key(target)
        if not (yes or explanations.has_been_asked(engine, target.endpoint.url, target.model)):
            terminal.confirm(target, prompt)
        terminal.explain(engine, target, prompt, subject, settings)


def make(engine: Engine, subject: Subject, settings: Settings) -> Prompt:
    """Return the text to send."""
    from moonpalace_cli.explaining.prompt import make_prompt
    from moonpalace_cli.explaining.record import make_record

    record = make_record(engine, subject, limit=settings.explain.tokens, pattern=settings.redact_pattern)
    return make_prompt(record, question=subject.question, language=subject.language, calls=subject.total)
