"""Show reports: sent, waiting and doubtful ones, and those that rules would have sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.query.condition import condition
from moonpalace_addons.store.read import selection
from moonpalace_addons.store.records import deliveries
from moonpalace_cli.calls.presentation import local_time
from moonpalace_cli.output import terminal_width, visible
from moonpalace_cli.reporting.gathering import load
from moonpalace_cli.reporting.simulation import planned
from moonpalace_cli.text.records import print_records
from moonpalace_cli.views.listing.layout import lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Engine

    from moonpalace_addons.settings.reports import ReportRule
    from moonpalace_addons.store.records.deliveries import Delivery
    from moonpalace_cli.flags.filters import Filters
    from moonpalace_cli.text.records import Form

MAX_LISTED = 200
"""Maximum reports in the list; the newest."""

type Record = dict[str, str | int | None]


def print_deliveries(engine: Engine, form: Form) -> None:
    """Print the newest reports, oldest first."""
    with engine.connect() as connection:
        reports = deliveries.read(connection, limit=MAX_LISTED)
    print_all([delivery_record(each) for each in reports], form, "no report was sent yet")


def delivery_record(delivery: Delivery) -> Record:
    """Return a report for the list."""
    return {
        "report": delivery.id,
        "changed_at": local_time(delivery.changed_at),
        "call": delivery.exchange_id,
        "calls": delivery.calls,
        "to": delivery.destination,
        "rule": delivery.rule,
        "state": delivery.state.value,
        "address": delivery.address or delivery.reason,
    }


def print_planned(engine: Engine, rules: Sequence[ReportRule], filters: Filters, form: Form) -> None:
    """Print the reports that the rules would have sent of the matching stored calls."""
    if not rules:
        raise MoonPalaceError("no rule is configured: add one under rules in config.yaml")
    records = [record for rule in rules for record in planned_records(engine, rule, filters)]
    print_all(records, form, "the rules would have sent nothing")


def planned_records(engine: Engine, rule: ReportRule, filters: Filters) -> Iterator[Record]:
    """Yield the reports that a rule would have sent, and those that would be waiting."""
    chosen = condition([rule.when, *filters.predicates], engine)
    calls = load(engine, selection.chosen_ids(engine, chosen))
    for each in planned(rule, calls, int(datetime.now(UTC).timestamp() * 1e6)):
        yield {
            "rule": rule.name,
            "to": rule.to,
            "sent_at": None if each.at is None else local_time(each.at),
            "calls": each.calls,
            "kinds": len(each.shared),
            "call": each.newest.id,
        }


def print_all(records: Sequence[Record], form: Form, nothing: str) -> None:
    """Print records of the same members."""
    if form != "table":
        print_records((json.dumps(record, ensure_ascii=False) for record in records), form)
    elif not records:
        click.echo(nothing)
    else:
        rows = [[visible("" if cell is None else str(cell)) for cell in record.values()] for record in records]
        click.echo(lay_out(list(records[0]), rows, terminal_width()))
