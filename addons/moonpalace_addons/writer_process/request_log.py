"""Log every call once its row is stored."""

import logging

from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.writer_process.log_lines import Line, lines

logger = logging.getLogger("moonpalace")

TOGETHER = 20
"""Calls that one record of the log tells of at most."""


class CallLog:
    """Log calls, those that are stored together in one record; each record wakes the proxy, and costs it time.

    It works in the process that writes, so that neither clients nor upstream wait for that.
    """

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._calls = 0

    def add(self, call: Exchange) -> None:
        """Take the lines of a call."""
        self._lines += lines(call)
        self._calls += 1
        if self._calls == TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Log what was added."""
        shown, self._lines, self._calls = self._lines, [], 0
        if shown:
            logger.info("\n".join([line.text for line in shown]), extra={"styles": [line.style for line in shown]})
