"""Send the reports that rules have gathered, and resolve doubtful ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from moonpalace_addons.errors import MoonPalaceError, SettingError
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import deliveries, report_rules
from moonpalace_addons.store.records.deliveries import DeliveryState
from moonpalace_cli.redaction.patterns import redactor
from moonpalace_cli.reporting.delivering import ASK_AGAIN, attempt, find_out
from moonpalace_cli.reporting.gathering import shares
from moonpalace_cli.reporting.message import compose_for
from moonpalace_cli.reporting.receivers.table import place, receiver

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.settings.reports import Destination, ReportRule
    from moonpalace_addons.store.records.deliveries import Delivery


@dataclass(frozen=True, slots=True)
class Sending:
    """Send the reports of rules. `inform` gets a line for each sent report, and `warn` for each problem."""

    engine: Engine
    destinations: Sequence[Destination]
    environ: Mapping[str, str] = field(repr=False)
    inform: Callable[[str], None]
    warn: Callable[[str], None]
    redact_pattern: str | None
    is_stopped: Callable[[], bool]

    def resolve(self, rule: ReportRule) -> None:
        """Ask receivers about reports that are in doubt."""
        with self.engine.connect() as connection:
            doubtful = deliveries.left(connection, rule.name)
        for delivery in doubtful:
            where = receiver(self._destination(delivery), self.environ)
            if delivery.state is DeliveryState.SENDING or where.can_find:
                self._log(find_out(self.engine, delivery, where))

    def send(self, rule: ReportRule) -> None:
        """Send due reports within the rule's limit."""
        for delivery in self._chosen(rule):
            if not self.is_stopped():
                self._send(delivery)

    def _chosen(self, rule: ReportRule) -> list[Delivery]:
        """Return the reports to send now; those beyond the limit are merged into the last one."""
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
            return [report for each in chosen if (report := deliveries.numbered(connection, each))]

    def _send(self, delivery: Delivery) -> None:
        """Send one report; if it cannot be composed or has no receiver, record why."""
        try:
            destination = self._destination(delivery)
            where = receiver(destination, self.environ)
        except SettingError as error:
            deliveries.set_state(self.engine, delivery, delivery.state, reason=str(error), delay=ASK_AGAIN)
            raise
        try:
            hidden = redactor(self.engine, self.redact_pattern) if destination.is_redacted else None
            message = compose_for(self.engine, delivery, hidden)
        except MoonPalaceError as error:
            deliveries.set_state(self.engine, delivery, DeliveryState.REFUSED, reason=str(error))
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
        """Log the outcome of a report."""
        about = f"report {delivery.id} of rule {delivery.rule}"
        where = place(self._destination(delivery))
        if delivery.state is DeliveryState.SENT:
            self.inform(f"{about} is sent: {delivery.address or where}")
            return
        words_of = {DeliveryState.REFUSED: "is refused", DeliveryState.IN_DOUBT: "may have arrived, or not"}
        self.warn(f"{about}, {where}, {words_of.get(delivery.state, 'waits')}: {delivery.reason}")
