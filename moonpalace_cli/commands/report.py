"""`mpal report`: send reports of calls to a tracker, a mailbox, a chat or a folder, once each."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.flags.forms import form_flags
from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.numbers import WholeNumber
from moonpalace_cli.flags.selecting import CallSelection, selection_flags
from moonpalace_cli.flags.setting_flags import setting_flags
from moonpalace_cli.output import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from moonpalace_addons.settings.reports import Destination
    from moonpalace_addons.settings.values import Settings
    from moonpalace_cli.reporting.by_hand import Prepared, Sender
    from moonpalace_cli.reporting.message import Message
    from moonpalace_cli.text.records import Form

EXAMPLE = "reports: {tracker: {github: owner/name}}"


class NotAllSentError(MoonPalaceError):
    """Raised at the end if a report is not known to have arrived."""


@click.command("report")
@selection_flags(default="newest")
@click.option(
    "--to", "name", metavar="NAME", help="A destination under reports in config.yaml; not needed for the only one."
)
@click.option("-y", "--yes", is_flag=True, help="Send without showing the reports and asking first.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent.")
@click.option("--again", is_flag=True, help="Send again what was sent before, or may have been.")
@click.option(
    "--redact/--no-redact",
    default=None,
    help="Replace keys, account and user ids, e-mail addresses and files with pseudonyms. Default: on.",
)
@click.option(
    "--allow-secrets", is_flag=True, help="With --no-redact, send calls even if they seem to contain a secret."
)
@click.option(
    "--rules", "by_rules", is_flag=True, help="Run the rules of config.yaml once; with --dry-run, on stored calls."
)
@click.option("--list", "listed", is_flag=True, help="List the reports that were sent, wait, or are in doubt.")
@click.option("--retry", type=WholeNumber(1), metavar="N", help="Send report N of the list again.")
@form_flags
@setting_flags("database", "endpoint", "redact-pattern", "reports", "rules")
def command(
    selected: CallSelection,
    name: str | None,
    yes: bool,
    dry_run: bool,
    again: bool,
    redact: bool | None,
    allow_secrets: bool,
    by_rules: bool,
    listed: bool,
    retry: int | None,
    form: Form,
    settings: Settings,
) -> None:
    """Send a report of a call, by default the newest, to a destination that config.yaml names under reports.

    A destination is an issue on GitHub, GitLab or Gitee, an e-mail, a webhook, a chat in Slack, Feishu or DingTalk, or
    a folder. Reports are redacted, shown before they are sent, and sent once: mpal report --list shows their state.

    Rules in config.yaml send reports by themselves while a proxy runs: mpal report --rules --dry-run --since -7d shows
    what they would have sent.
    """
    if sum((by_rules, listed, retry is not None)) > 1:
        raise click.UsageError("--rules, --list and --retry exclude each other")
    with opened(settings.database) as engine:
        from moonpalace_cli.views import deliveries

        if listed:
            deliveries.print_deliveries(engine, form)
        elif by_rules and dry_run:
            deliveries.print_planned(engine, settings.rules, selected.filters, form)
        elif by_rules:
            run_rules(engine, settings)
        elif retry is not None:
            resend(engine, settings, retry, yes=yes, dry_run=dry_run)
        else:
            sender = make_sender(
                engine, settings, chosen(settings, name), redact, allow_secrets=allow_secrets, again=again
            )
            report(sender, selected.find(engine), yes=yes, dry_run=dry_run)


def chosen(settings: Settings, name: str | None) -> Destination:
    """Return the destination of this name, or the only one; raise MoonPalaceError if there is none."""
    destinations = {each.name: each for each in settings.reports}
    if not destinations:
        file = settings.config_file or settings.home / "config.yaml"
        raise MoonPalaceError(f"no destination is configured: add one to {file}, such as {EXAMPLE}")
    if name is None and len(destinations) == 1:
        return settings.reports[0]
    if name not in destinations:
        problem = "which destination" if name is None else f"there is no destination {name!r}"
        raise click.UsageError(f"{problem}: give --to with one of {', '.join(destinations)}")
    return destinations[name]


def make_sender(
    engine: Engine,
    settings: Settings,
    destination: Destination,
    redact: bool | None,
    *,
    allow_secrets: bool = False,
    again: bool = False,
) -> Sender:
    """Return a sender of reports to a destination; redaction follows the flag, else config.yaml."""
    from moonpalace_cli.redaction.patterns import redactor
    from moonpalace_cli.reporting.by_hand import Sender
    from moonpalace_cli.reporting.receivers.table import receiver

    is_redacted = destination.is_redacted if redact is None else redact
    return Sender(
        engine,
        destination.name,
        receiver(destination, os.environ),
        redactor(engine, settings.redact_pattern) if is_redacted else None,
        allow_secrets=allow_secrets,
        again=again,
    )


def report(sender: Sender, ids: Sequence[int], *, yes: bool, dry_run: bool) -> None:
    """Show the reports of calls, ask, and send them; raise NotAllSentError if one is not known to have arrived."""
    ready = list(sender.prepared(ids, asks=not dry_run))
    messages = [each.message for each in ready if each.message is not None]
    if not agreed(messages, sender, yes=yes, dry_run=dry_run):
        return
    failed = 0
    for each in ready:
        done = sender.send(each)
        print_state(done)
        failed += done.has_failed
    if failed:
        raise NotAllSentError(f"{failed} of {len(ready)} reports are not known to have arrived")


def agreed(messages: Sequence[Message], sender: Sender, *, yes: bool, dry_run: bool) -> bool:
    """Show what would be sent, unless the user agreed in advance, and ask for confirmation."""
    if not messages or (yes and not dry_run):
        return not dry_run
    for message in messages:
        click.echo(visible(f"# {message.title}\n\n{message.text}\n"))
    count = f"{len(messages)} report{'s' if len(messages) > 1 else ''}"
    if dry_run:
        click.echo(visible(f"{count} would go to {sender.name}: {sender.receiver.place}"), err=True)
        return False
    if not sys.stdin.isatty():
        raise MoonPalaceError("there is no terminal to ask on: --yes sends without asking, --dry-run only shows")
    return click.confirm(visible(f"Send {count} to {sender.name}, {sender.receiver.place}?"), err=True)


def print_state(done: Prepared) -> None:
    """Print the state of a report."""
    click.echo(visible(done.state_text), err=done.has_failed)


def resend(engine: Engine, settings: Settings, number: int, *, yes: bool, dry_run: bool) -> None:
    """Send a listed report again; it states how many calls it covers."""
    from moonpalace_cli.reporting.by_hand import reopened, retried, story
    from moonpalace_cli.reporting.delivering import attempt
    from moonpalace_cli.reporting.message import compose_for

    delivery = retried(engine, number)
    sender = make_sender(engine, settings, chosen(settings, delivery.destination), None)
    message = compose_for(engine, delivery, sender.redactor)
    if not agreed([message], sender, yes=yes, dry_run=dry_run):
        return
    done = attempt(engine, reopened(engine, delivery), message, sender.receiver)
    if done is None or done.address is None:
        raise NotAllSentError(story(done or delivery))
    click.echo(visible(story(done)))


def run_rules(engine: Engine, settings: Settings) -> None:
    """Run the rules once, as a proxy does."""
    from moonpalace_cli.reporting.running import Reporter

    if not settings.rules:
        raise MoonPalaceError("no rule is configured: add one under rules in config.yaml")
    sent, failed = list[str](), list[str]()
    reporter = Reporter(
        *(engine, settings.rules, settings.reports, os.environ), sent.append, failed.append, settings.redact_pattern
    )
    reporter.turn()
    if sent or not failed:
        click.echo("\n".join(map(visible, sent)) or "the rules have nothing to send")
    if failed:
        raise NotAllSentError("; ".join(failed))
