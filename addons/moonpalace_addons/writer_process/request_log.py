"""Log every call once its row is stored."""

import logging

from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.writer_process.log_lines import Line, lines

logger = logging.getLogger("moonpalace")

CALLS_PER_RECORD = 20
"""Maximum number of calls per log record."""


class CallLog:
    """Log calls that are stored together in one record, because each record wakes the proxy.

    Lines are formatted in the writer's process, so that this never delays clients or upstream.
    """

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._calls = 0

    def add(self, call: Exchange) -> None:
        """Add the lines of a call."""
        self._lines += lines(call)
        self._calls += 1
        if self._calls == CALLS_PER_RECORD:
            self.flush()

    def flush(self) -> None:
        """Log the added lines."""
        shown, self._lines, self._calls = self._lines, [], 0
        if shown:
            logger.info("\n".join([line.text for line in shown]), extra={"styles": [line.style for line in shown]})
