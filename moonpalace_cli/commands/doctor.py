"""`mpal doctor`: check the store's health, and search it for secrets."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import SettingError, StoreError
from moonpalace_cli.flags.forms import form_option
from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.setting_flags import setting_flags
from moonpalace_cli.output import print_json, visible
from moonpalace_cli.text.records import Form, print_records
from moonpalace_cli.views import diagnosis
from moonpalace_cli.views.diagnosis import hits_text, report_json, report_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from moonpalace_addons.settings.values import Settings
    from moonpalace_addons.store.upkeep.secret_search import Hit


EXPORT_TIMEOUT = 3.0
"""Seconds that the receiver of an export may take to answer."""


@click.command("doctor")
@click.option("--secrets", "for_secrets", is_flag=True, help="Search everything stored for keys and tokens instead.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as a JSON object.")
@form_option
@setting_flags("database")
@click.pass_context
def command(context: click.Context, for_secrets: bool, as_json: bool, form: Form, settings: Settings) -> None:
    """Check the store's health: its size, its users, damage, and what to do about it.

    With --secrets, search headers, paths, bodies, streams, labels and journals for text that looks like a key or a
    token, and list the calls and fields that hold it. The secrets themselves are not printed.

    The exit code is 1 if a problem or a secret was found.
    """
    sound = search(settings, form, as_json=as_json) if for_secrets else examine(settings, form, as_json=as_json)
    if not sound:
        context.exit(1)


def examine(settings: Settings, form: Form, *, as_json: bool) -> bool:
    """Print the store's health; return whether it is healthy."""
    try:
        with opened(settings.database) as engine:
            from moonpalace_addons.settings.config_file import exposed_secrets
            from moonpalace_addons.store.upkeep.health import Finding, export_problems
            from moonpalace_addons.store.upkeep.health import examine as look_over

            report = look_over(engine, settings.database, settings.home)
            if settings.config_file is not None and (exposed := exposed_secrets(settings.config_file)):
                report.findings.append(Finding(*exposed))
            report.export, problems = exported(settings.config_file)
            problems += export_problems(report) if not problems else []
            report.findings += [Finding(*pair) for pair in problems]
    except StoreError as error:
        if not (as_json or form != "table"):
            raise
        print_health({"findings": [{"what": str(error), "advice": ""}]}, form)
        return False
    if as_json or form != "table":
        print_health(report_json(report), form)
    else:
        click.echo("\n".join(visible(line) for line in report_text(report)))
    return not report.findings


def print_health(health: dict[str, object], form: Form) -> None:
    """Print the store's health for programs."""
    print_records([json.dumps(health, ensure_ascii=False)], "jsonl" if form == "table" else form)


def exported(config_file: Path | None) -> tuple[str, list[tuple[str, str]]]:
    """Return the receiver of exported calls, and any problem with it; test it with an empty request."""
    from moonpalace_addons.settings.telemetry import INSTALL, is_installed
    from moonpalace_addons.settings.values import resolve

    try:
        if not resolve({}, os.environ, config_file, names=("otel",)).otel:
            return "", []
    except SettingError as error:
        return "", [(str(error), INSTALL)]
    from moonpalace_addons.wire.otlp_environment import ENDPOINT, shown, url_of
    from moonpalace_addons.wire.otlp_mistakes import mistakes

    place = shown(url_of("traces", os.environ))
    if not is_installed():
        return place, [(f"calls are not exported to {place}: the packages of OpenTelemetry are missing", INSTALL)]
    from moonpalace_addons.store.telemetry.sending import Sender  # 0.2 s

    wrong = [(mistake, "correct the variable, and start the proxy again") for mistake in mistakes(os.environ)]
    failure = Sender("doctor", timeout=EXPORT_TIMEOUT).send_spans([])
    if failure is None:
        return f"{place} takes spans", wrong
    advice = f"start it, or correct {ENDPOINT} and OTEL_EXPORTER_OTLP_HEADERS"
    return place, [*wrong, (f"{place} {failure.words}", advice)]


def search(settings: Settings, form: Form, *, as_json: bool) -> bool:
    """Print text that looks like a secret; return whether there is none."""
    size = 0

    def count(more: int) -> None:
        nonlocal size
        size += more

    with opened(settings.database) as engine:
        from moonpalace_addons.store.upkeep.secret_search import search as look_through

        begun = time.monotonic()
        hits = [*look_through(engine, count), *search_journals(settings, count)]
        seconds = time.monotonic() - begun
    if as_json:
        print_json(json.dumps({"hits": [hit_json(hit) for hit in hits], "bytes": size, "seconds": round(seconds, 3)}))
        return not hits
    if form != "table":
        print_records((json.dumps(hit_json(hit), ensure_ascii=False) for hit in hits), form)
    elif hits:
        click.echo("\n".join(visible(line) for line in hits_text(hits)))
    summary = f"searched {diagnosis.size(size)} in {seconds:,.1f} s: {verdict(hits)}"
    click.echo(summary, err=bool(hits) or form != "table")
    return not hits


def search_journals(settings: Settings, progress: Callable[[int], None]) -> Iterator[Hit]:
    """Yield suspected secrets in journaled calls; report journals that cannot be read."""
    from moonpalace_addons.store.journal import journal_place
    from moonpalace_addons.store.upkeep.secret_search import search_journal

    places = (journal_place.paths, journal_place.kept)
    for path in [path for find in places for path in find(settings.database, settings.home)]:
        try:
            yield from search_journal(path, progress)
        except (OSError, ValueError) as error:
            click.echo(visible(f"{path} could not be searched: {error}"), err=True)


def hit_json(hit: Hit) -> dict[str, str | int | None]:
    """Return one hit for --json."""
    return {"call": hit.call, "field": hit.field, "kind": hit.kind, "masked": hit.masked}


def verdict(hits: list[Hit]) -> str:
    """Return a summary of the search."""
    calls = len({hit.call for hit in hits if hit.call is not None})
    if not hits:
        return "nothing looks like a key or token"
    return f"{len(hits)} places look like one, in {calls} calls; mpal cleanup deletes calls"
