"""The talk with the user: what is sent, whether it may be, the answer as it comes, and what was kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.views.call_line import seconds
from moonpalace_addons.views.money import amount
from moonpalace_cli.calls.presentation import local_time
from moonpalace_cli.explaining.asking import NOTHING_KEPT, Asking, InterruptedAskingError
from moonpalace_cli.explaining.keeping import keep
from moonpalace_cli.explaining.language import terminal_language
from moonpalace_cli.explaining.quoting import tokens_in
from moonpalace_cli.explaining.target import KEY_VARIABLE
from moonpalace_cli.output import ellipsis, note, visible
from moonpalace_cli.views.showing.phrases import NOTHING, phrase

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.settings.values import Settings
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_addons.store.records.explanations import Explanation
    from moonpalace_cli.explaining.prompt import Prompt
    from moonpalace_cli.explaining.record import Subject
    from moonpalace_cli.explaining.target import Target


def told(template: str, **values: object) -> str:
    """Return a sentence of ours in the language of the terminal."""
    return phrase(template, **values).said(terminal_language())


def print_kept(explanation: Explanation) -> None:
    """Print an explanation that was kept."""
    click.echo(visible(explanation.text))
    when = local_time(explanation.created_at)
    said = told("explained by {model} on {when}; --again asks again", model=explanation.model, when=when)
    note(visible(said))


def print_prompt(target: Target, prompt: Prompt, *, err: bool = False) -> None:
    """Print what is sent where, word for word."""
    head = told("To {target}, about {count} tokens:", target=target.named, count=f"{tokens_in(str(prompt)):,}")
    click.echo(f"{head}\n\n{visible(str(prompt))}", err=err)


def refuse_without_key(target: Target) -> None:
    """Raise MoonPalaceError if the Kimi API would be asked without a key."""
    if target.lacks_key:
        raise MoonPalaceError(
            f"{target} needs a key: set {KEY_VARIABLE} or give --key; --via asks another endpoint, such as a local one"
        )


def confirm(target: Target, prompt: Prompt) -> None:
    """Show what is sent, and ask whether it may be; raise MoonPalaceError if it may not."""
    print_prompt(target, prompt, err=True)
    if not sys.stdin.isatty():
        raise MoonPalaceError(
            f"nothing was sent: {target} has not explained anything in this store yet; if it may have the text above, "
            "give --yes"
        )
    if not click.confirm("\n" + told("Send it?"), err=True):
        raise MoonPalaceError("nothing was sent")


def explain(engine: Engine, target: Target, prompt: Prompt, subject: Subject, settings: Settings) -> None:
    """Ask the model, print its answer as it comes, and keep it."""
    asking = Asking(target, prompt.body(target.model), settings.idle_timeout, settings.upstream_ca)
    click.echo(f"{told('asking {target}', target=target.named)} {ellipsis()}", err=True)
    with whole_line() as say:
        for channel, text in asking.run():
            if channel == "content":
                say(text)
        explanation, call = keep(engine, asking, subject, settings.prices)
        if not say.said:
            say(explanation.text)
    note(closing(call))


class Speech:
    """Prints pieces of a text; `said` tells whether there were any."""

    def __init__(self) -> None:
        self.said = False

    def __call__(self, text: str) -> None:
        """Print a piece at once."""
        self.said = True
        click.echo(visible(text), nl=False)


@contextmanager
def whole_line() -> Iterator[Speech]:
    """Yield what prints pieces of a text, and end its last line; an interruption becomes an error."""
    speech = Speech()
    try:
        yield speech
    except KeyboardInterrupt:
        raise InterruptedAskingError(f"interrupted; {NOTHING_KEPT}") from None
    finally:
        if speech.said:
            click.echo()


def closing(call: Exchange) -> str:
    """Return where the explanation is kept, and what it cost."""
    took = NOTHING if call.latency is None else phrase(" in {time}", time=seconds(call.latency))
    spent = "" if call.cost is None else f"{amount(call.cost)} {call.cost_currency or ''}".rstrip()
    cost = phrase(" for {amount}", amount=spent) if spent else NOTHING
    return told("explained{took}{cost}; the request is call {id}", took=took, cost=cost, id=call.id)
