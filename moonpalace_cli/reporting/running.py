"""Run the rules that report calls: find calls, gather similar ones, and send due reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.outage import words
from moonpalace_addons.store.query.condition import condition
from moonpalace_addons.store.records import deliveries, report_rules

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.settings.reports import Destination, ReportRule
    from moonpalace_addons.store.records.report_rules import Progress
    from moonpalace_cli.reporting.gathering import Seen

MAX_KINDS = 100
"""Maximum kinds of calls that a rule gathers separately while its limit holds them back; all others are one more."""


@dataclass(slots=True)
class Reporter:
    """Run rules on a store, in turns; other processes may do the same.

    `inform` gets a line for each sent report, and `warn` for each problem. A new rule sees the calls that began after
    `since`, in microseconds since the epoch.
    """

    engine: Engine
    rules: Sequence[ReportRule]
    destinations: Sequence[Destination]
    environ: Mapping[str, str] = field(repr=False)
    inform: Callable[[str], None]
    warn: Callable[[str], None]
    redact_pattern: str | None = None
    since: int = field(default_factory=lambda: time.time_ns() // 1000)
    is_stopped: Callable[[], bool] = lambda: False
    problems: dict[str, str] = field(default_factory=dict)
    known: dict[str, Progress] = field(default_factory=dict)
    """The progress of the rules, unless another process has changed it."""

    def turn(self) -> None:
        """Find new calls, and send due reports."""
        for rule in self.rules:
            self._guarded(rule, self.look)
        if not self._is_any_open():
            return
        # Only if there is something to send: redaction and receivers take time and memory to import.
        from moonpalace_cli.reporting.sending import Sending

        callbacks = (self.inform, self.warn, self.redact_pattern, self.is_stopped)
        sending = Sending(self.engine, self.destinations, self.environ, *callbacks)
        for rule in self.rules:
            self._guarded(rule, sending.resolve)
            self._guarded(rule, sending.send)

    def _is_any_open(self) -> bool:
        """Return whether any report is open; true if that is unknown, because the steps report the problem."""
        try:
            with self.engine.connect() as connection:
                return deliveries.any_open(connection)
        except SQLAlchemyError:
            return True

    def _guarded(self, rule: ReportRule, step: Callable[[ReportRule], None]) -> None:
        """Run a step; log an exception unless it is the same as the last one of this step."""
        if self.is_stopped():
            return
        name = f"{rule.name} {step.__name__}"
        try:
            step(rule)
        except Exception as error:  # noqa: BLE001 - the other rules go on
            problem = str(error) if isinstance(error, MoonPalaceError) else words(error)
            if self.problems.get(name) != problem:
                self.warn(f"rule {rule.name}: {problem}")
            self.problems[name] = problem
        else:
            self.problems.pop(name, None)

    def look(self, rule: ReportRule) -> None:
        """Record the reports of calls that have ended since the last time."""
        before = self.known.get(rule.name) or self._progress(rule)
        while before is not None and not self.is_stopped():
            step = self._step(rule, before)
            if step is None:
                return
            before = step.after if self._gather(rule, step) else None
            self._remember(rule, before)

    def _progress(self, rule: ReportRule) -> Progress | None:
        """Return the progress of a rule; a new one is recorded."""
        condition([rule.when], self.engine)  # a mistake is reported even if there are no calls
        with self.engine.connect() as connection:
            progress = report_rules.progress(connection, rule.name)
        if progress is None:
            with writing(self.engine) as connection:
                report_rules.begin(connection, rule.name, self.since)
                progress = report_rules.progress(connection, rule.name)
        self._remember(rule, progress)
        return progress

    def _remember(self, rule: ReportRule, progress: Progress | None) -> None:
        """Store the progress of a rule in memory; None to read it again."""
        if progress is None:
            self.known.pop(rule.name, None)
        else:
            self.known[rule.name] = progress

    def _step(self, rule: ReportRule, before: Progress) -> report_rules.Step | None:
        """Return the matching calls that have ended since; None if nothing is new."""
        with self.engine.connect() as connection:
            if not report_rules.has_more(connection, before):
                return None
        chosen = condition([rule.when], self.engine)  # compiled each time: it may contain a relative time such as -1h
        with self.engine.connect() as connection:
            return report_rules.step(connection, before, chosen)

    def _gather(self, rule: ReportRule, step: report_rules.Step) -> bool:
        """Record a step with its reports; return False if another process was first."""
        from moonpalace_cli.reporting.gathering import alike, load  # the shapes of all APIs

        calls = load(self.engine, step.found)
        with writing(self.engine) as connection:
            if not report_rules.advance(connection, rule.name, step):
                return False
            likenesses = deliveries.gathered(connection, rule.name)
            for likeness, group in alike(calls, likenesses, MAX_KINDS).items():
                deliveries.join(connection, rule.name, likeness, of_calls(rule, group), delay=rule.delay)
        return True


def of_calls(rule: ReportRule, calls: Sequence[Seen]) -> dict[str, object]:
    """Return the columns of a report that covers these calls and shows the newest."""
    times = [call.at for call in calls]
    columns = {"exchange_id": calls[-1].id, "first_at": min(times), "last_at": max(times)}
    counts = {"calls": len(calls), "kinds": len({call.likeness for call in calls})}
    return columns | counts | {"destination": rule.to}
