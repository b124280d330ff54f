"""The process of the rules that report calls; the writer's process starts it, and restarts it if it dies.

A report is made by `moonpalace_cli`, which this library does not import, and may take much memory: in a process of its
own, at a lower priority, it delays no row, and no fault in it stops the writer.
"""

import logging
from collections.abc import Iterable

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.reports import ReportRule
from moonpalace_addons.store.query.errors import PredicateError
from moonpalace_addons.store.upkeep.background import Upkeep
from moonpalace_addons.writer_process.companion import Companion
from moonpalace_addons.writer_process.messages import Opening

logger = logging.getLogger("moonpalace.reports")  # below the one whose messages `mpal start` shows all

FIRST_DELAY = 2.0
"""Seconds after the start of the proxy, which is busy at first."""
INTERVAL = 10.0
"""Seconds between checks whether it runs."""
MODULE = "moonpalace_cli.reporting"


def check(rules: Iterable[ReportRule], dialect: str) -> None:
    """Raise SettingError for a rule with an invalid predicate."""
    from moonpalace_addons.store.query import condition  # only with rules, as the grammar takes memory

    for rule in rules:
        try:
            condition.check(rule.when, dialect)
        except PredicateError as error:
            raise SettingError(f"rules.{rule.name}.when in config.yaml: {error}") from None


class RulesProcess(Upkeep):
    """Keep the process running; at the end ask it to stop, without waiting until it has sent its report."""

    def __init__(self, opening: Opening) -> None:
        failure = "the process that reports calls could not be started"
        super().__init__("moonpalace-rules", first=FIRST_DELAY, interval=INTERVAL, failure=failure)
        self.opening = opening
        self._process: Companion | None = None

    @property
    def is_wanted(self) -> bool:
        """Return whether there are rules."""
        return bool(self.opening.settings.rules)

    def do(self) -> None:
        """Start the process if it does not run."""
        if self._process is not None:
            if (code := self._process.exit_code) is None:
                return
            logger.warning("reports: the process that sends them has ended (exit code %d); restarting it", code)
            self._process.close()
        self._process = Companion(MODULE, self.opening, logger)

    def stop(self) -> None:
        """Ask it to stop."""
        super().stop()
        if self._process is not None:
            self._process.close()
