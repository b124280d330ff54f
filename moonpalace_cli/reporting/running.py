"""Run the rules that report calls: look for calls, gather similar ones, and send what is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from moonpalace_addons.errors import MoonPalaceError, SettingError
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.outage import words
from moonpalace_addons.store.query.condition import condition
from moonpalace_addons.store.records import deliveries, report_rules
from moonpalace_addons.store.records.deliveries import DeliveryState
from moonpalace_cli.redaction.patterns import redactor
from moonpalace_cli.reporting.delivering import ASK_AGAIN, attempt, find_out
from moonpalace_cli.reporting.gathering import Seen, alike, seen, shares
from moonpalace_cli.reporting.message import compose_for
from moonpalace_cli.reporting.receivers.table import place, receiver

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.settings.reports import Destination, ReportRule
    from moonpalace_addons.store.records.deliveries import Delivery

MAX_KINDS = 100
"""Kinds of calls that a rule gathers apart while its limit holds them back; all others are one more."""


@dataclass(slots=True)
class Reporter:
    """Run rules on a store, in turns; other processes may do the same.

    `tell` gets a line for each report that was sent, and `warn` for what goes wrong. A new rule sees the calls that
    began after `since`, in microseconds since the epoch.
    """

    engine: Engine
    rules: Sequence[ReportRule]
    destinations: Sequence[Destination]
    environ: Mapping[str, str] = field(repr=False)
    tell: Callable[[str], None]
    warn: Callable[[str], None]
    redact_pattern: str | None = None
    since: int = field(default_factory=lambda: time.time_ns() // 1000)
    is_stopped: Callable[[], bool] = lambda: False
    said: dict[str, str] = field(default_factory=dict)

    def turn(self) -> None:
        """Look for new calls, and send what is due."""
        for rule in self.rules:
            for step in (self.look, self.resolve, self.send):
                if self.is_stopped():
                    return
                self._guarded(rule, step)

    def _guarded(self, rule: ReportRule, step: Callable[[ReportRule], None]) -> None:
        """Run a step; log an error unless it repeats the last one of this step."""
        name = f"{rule.name} {step.__name__}"
        try:
            step(rule)
        except Exception as error:  # noqa: BLE001 - the other rules go on
            said = str(error) if isinstance(error, MoonPalaceError) else words(error)
            if self.said.get(name) != said:
                self.warn(f"rule {rule.name}: {said}")
            self.said[name] = said
        else:
            self.said.pop(name, None)

    def look(self, rule: ReportRule) -> None:
        """Record the reports of calls that have ended since the last look."""
        chosen = condition([rule.when], self.engine)
        with self.engine.connect() as connection:
            before = report_rules.progress(connection, rule.name)
        if before is None:
            with writing(self.engine) as connection:
                report_rules.begin(connection, rule.name, self.since)
                before = report_rules.progress(connection, rule.name)
        while before is not None and not self.is_stopped():
            with self.engine.connect() as connection:
                step = report_rules.step(connection, before, chosen)
            if step is None or not self._gather(rule, step):
                return
            before = step.after

    def _gather(self, rule: ReportRule, step: report_rules.Step) -> bool:
        """Record a step with its reports; return False if another process was first."""
        calls = seen(self.engine, step.found)
        with writing(self.engine) as connection:
            if not report_rules.advance(connection, rule.name, step):
                return False
            known = deliveries.gathered(connection, rule.name)
            for likeness, group in alike(calls, known, MAX_KINDS).items():
                deliveries.join(connection, rule.name, likeness, of_calls(rule, group), delay=rule.delay)
        return True

    def resolve(self, rule: ReportRule) -> None:
        """Ask receivers about reports that are in doubt."""
        with self.engine.connect() as connection:
            left = deliveries.left(connection, rule.name)
        for delivery in left:
            where = receiver(self._destination(delivery), self.environ)
            if delivery.state is DeliveryState.SENDING or where.can_find:
                self._log(find_out(self.engine, delivery, where))

    def send(self, rule: ReportRule) -> None:
        """Send what is due, as far as the rule's limit allows."""
        for delivery in self._chosen(rule):
            if not self.is_stopped():
                self._send(delivery)

    def _chosen(self, rule: ReportRule) -> list[Delivery]:
        """Return the reports to send now; those beyond the limit are merged into the last."""
        with self.engine.connect() as connection:
            if not deliveries.due(connection, rule.name):
                return []
        with writing(self.engine) as connection:
            report_rules.lock(connection, rule.name)
            deliveries.redirect(connection, rule.name, rule.to)
            waiting = deliveries.due(connection, rule.name)
            fresh = [each for each in waiting if not each.attempts]
            shared = shares(fresh, rule.limit - deliveries.tried_today(connection, rule.name))
            for each in shared:
                if len(each) > 1:
                    deliveries.merge(connection, each)
            chosen = [each[0].id for each in shared] + [each.id for each in waiting if each.attempts]
            return [found for each in chosen if (found := deliveries.numbered(connection, each))]

    def _send(self, delivery: Delivery) -> None:
        """Send one report; one that cannot be made, or has no receiver, says why."""
        try:
            destination = self._destination(delivery)
            where = receiver(destination, self.environ)
        except SettingError as error:
            deliveries.settle(self.engine, delivery, delivery.state, reason=str(error), delay=ASK_AGAIN)
            raise
        try:
            hidden = redactor(self.engine, self.redact_pattern) if destination.is_redacted else None
            message = compose_for(self.engine, delivery, hidden)
        except MoonPalaceError as error:
            deliveries.settle(self.engine, delivery, DeliveryState.REFUSED, reason=str(error))
            self.warn(f"report {delivery.id} of rule {delivery.rule} is not sent: {error}")
            return
        if done := attempt(self.engine, delivery, message, where):
            self._log(done)

    def _destination(self, delivery: Delivery) -> Destination:
        for each in self.destinations:
            if each.name == delivery.destination:
                return each
        raise SettingError(f"reports.{delivery.destination}, where report {delivery.id} goes, is not in config.yaml")

    def _log(self, delivery: Delivery) -> None:
        """Log what became of a report."""
        about = f"report {delivery.id} of rule {delivery.rule}"
        where = place(self._destination(delivery))
        if delivery.state is DeliveryState.SENT:
            self.tell(f"{about} is sent: {delivery.address or where}")
            return
        words_of = {DeliveryState.REFUSED: "is refused", DeliveryState.IN_DOUBT: "may have arrived, or not"}
        self.warn(f"{about}, {where}, {words_of.get(delivery.state, 'waits')}: {delivery.reason}")


def of_calls(rule: ReportRule, calls: Sequence[Seen]) -> dict[str, object]:
    """Return the columns of a report that stands for these calls and shows the newest."""
    times = [call.at for call in calls]
    shown = {"exchange_id": calls[-1].id, "first_at": min(times), "last_at": max(times)}
    counts = {"calls": len(calls), "kinds": len({call.likeness for call in calls})}
    return shown | counts | {"destination": rule.to}
