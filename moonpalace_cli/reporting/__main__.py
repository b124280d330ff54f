"""Run the rules that report calls, as a process that the writer's process starts: `python -m moonpalace_cli.reporting`.

A report that is being sent when the proxy ends is still sent, so that nobody has to doubt whether it arrived.
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
"""Seconds between turns, at least and at most."""
MAX_SHARE = 0.02
"""The share of a processor that turns may take; after a longer one there is a longer pause."""
NICE_INCREMENT = 5


def tell(text: str) -> None:
    """Say what was sent."""
    companion.write(logging.INFO, f"reports: {text}")


def warn(text: str) -> None:
    """Say what goes wrong."""
    companion.write(logging.WARNING, f"reports: {text}")


def main() -> None:
    """Take turns until the proxy ends."""
    given = companion.take(Opening, NICE_INCREMENT)
    if given is None:
        return
    stopping = threading.Event()
    companion.at_the_end(stopping.set)
    defer("asyncio", ASYNCIO)
    from moonpalace_cli.reporting.running import Reporter

    settings = given.settings
    engine = companion.opened(settings.database, stopping, "reports: rules wait")
    if engine is None:
        return
    reporter = Reporter(
        *(engine, settings.rules, settings.reports, os.environ, tell, warn, settings.redact_pattern, given.since),
        is_stopped=stopping.is_set,
    )
    while not stopping.is_set():
        began = time.process_time()
        reporter.turn()
        stopping.wait(pause(time.process_time() - began))
    engine.dispose()


def pause(spent: float) -> float:
    """Return the seconds until the next turn, after one that took so many seconds of the processor."""
    return min(MAX_INTERVAL, max(INTERVAL, spent / MAX_SHARE))


if __name__ == "__main__":
    main()
