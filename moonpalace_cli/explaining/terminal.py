"""The dialogue with the user: show what is sent, ask for consent, print the answer as it arrives."""

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


def translated(template: str, **values: object) -> str:
    """Return one of our sentences in the language of the terminal."""
    return phrase(template, **values).in_language(terminal_language())


def print_kept(explanation: Explanation) -> None:
    """Print a stored explanation."""
    click.echo(visible(explanation.text))
    when = local_time(explanation.created_at)
    remark = translated("explained by {model} on {when}; --again asks again", model=explanation.model, when=when)
    note(visible(remark))


def print_prompt(target: Target, prompt: Prompt, *, err: bool = False) -> None:
    """Print the exact text that is sent, and where."""
    head = translated("To {target}, about {count} tokens:", target=target.named, count=f"{tokens_in(str(prompt)):,}")
    click.echo(f"{head}\n\n{visible(str(prompt))}", err=err)


def refuse_without_key(target: Target) -> None:
    """Raise MoonPalaceError if the request would go to the Kimi API without a key."""
    if target.lacks_key:
        raise MoonPalaceError(
            f"{target} needs a key: set {KEY_VARIABLE} or give --key; --via asks another endpoint, such as a local one"
        )


def confirm(target: Target, prompt: Prompt) -> None:
    """Show what is sent, and ask for consent; raise MoonPalaceError if it is refused."""
    print_prompt(target, prompt, err=True)
    if not sys.stdin.isatty():
        raise MoonPalaceError(
            f"nothing was sent: {target} has not explained anything in this store yet; if it may have the text above, "
            "give --yes"
        )
    if not click.confirm("\n" + translated("Send it?"), err=True):
        raise MoonPalaceError("nothing was sent")


def explain(engine: Engine, target: Target, prompt: Prompt, subject: Subject, settings: Settings) -> None:
    """Ask the model, print its answer as it arrives, and store it."""
    asking = Asking(target, prompt.body(target.model), settings.idle_timeout, settings.upstream_ca)
    click.echo(f"{translated('asking {target}', target=target.named)} {ellipsis()}", err=True)
    with whole_line() as write:
        for channel, text in asking.run():
            if channel == "content":
                write(text)
        explanation, call = keep(engine, asking, subject, settings.prices)
        if not write.has_printed:
            write(explanation.text)
    note(closing(call))


class Speech:
    """Print pieces of a text; `has_printed` is set once there were any."""

    def __init__(self) -> None:
        self.has_printed = False

    def __call__(self, text: str) -> None:
        """Print a piece immediately."""
        self.has_printed = True
        click.echo(visible(text), nl=False)


@contextmanager
def whole_line() -> Iterator[Speech]:
    """Yield a printer of pieces, and end its last line; an interruption becomes an error."""
    speech = Speech()
    try:
        yield speech
    except KeyboardInterrupt:
        raise InterruptedAskingError(f"interrupted; {NOTHING_KEPT}") from None
    finally:
        if speech.has_printed:
            click.echo()


def closing(call: Exchange) -> str:
    """Return where the explanation is stored, and what it cost."""
    took = NOTHING if call.latency is None else phrase(" in {time}", time=seconds(call.latency))
    spent = "" if call.cost is None else f"{amount(call.cost)} {call.cost_currency or ''}".rstrip()
    cost = phrase(" for {amount}", amount=spent) if spent else NOTHING
    return translated("explained{took}{cost}; the request is call {id}", took=took, cost=cost, id=call.id)
