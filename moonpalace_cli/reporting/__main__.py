"""Run the rules that report calls, in a process that the writer's process starts: `python -m moonpalace_cli.reporting`.

A report that is being sent when the proxy ends is still completed, so that it is not left in doubt.
"""

from __future__ import annotations

import logging
import os
import threading
import time

from moonpalace_addons.writer_process.messages import Opening
from moonpalace_cli import companion
from moonpalace_cli.deferred_imports import ASYNCIO, defer

INTERVAL, MAX_INTERVAL = 5.0, 60.0
"""Minimum and maximum seconds between turns."""
MAX_SHARE = 0.02
"""The share of a processor that turns may use; the pause grows with the turn."""
NICE_INCREMENT = 5


def inform(text: str) -> None:
    """Log a line about a sent report."""
    companion.write(logging.INFO, f"reports: {text}")


def warn(text: str) -> None:
    """Log a problem."""
    companion.write(logging.WARNING, f"reports: {text}")


def main() -> None:
    """Take turns until the proxy ends."""
    opening = companion.take(Opening, NICE_INCREMENT)
    if opening is None:
        return
    stopping = threading.Event()
    companion.at_the_end(stopping.set)
    defer("asyncio", ASYNCIO)
    from moonpalace_cli.reporting.running import Reporter

    settings = opening.settings
    engine = companion.opened(settings.database, stopping, "reports: rules wait")
    if engine is None:
        return
    reporter = Reporter(
        *(engine, settings.rules, settings.reports, os.environ, inform, warn, settings.redact_pattern, opening.since),
        is_stopped=stopping.is_set,
    )
    while not stopping.is_set():
        began = time.process_time()
        reporter.turn()
        stopping.wait(pause(time.process_time() - began))
    engine.dispose()


def pause(spent: float) -> float:
    """Return the seconds until the next turn, after one that took this many seconds of the processor."""
    return min(MAX_INTERVAL, max(INTERVAL, spent / MAX_SHARE))


if __name__ == "__main__":
    main()
