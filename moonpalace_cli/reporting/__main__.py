"""Run the rules that report calls, as a process that the writer's process starts: `python -m moonpalace_cli.reporting`.

A report that is being sent when the proxy ends is still sent, so that nobody has to doubt whether it arrived.
"""

from __future__ import annotations

import logging
import os
import threading

from moonpalace_addons.writer_process.messages import Reporting
from moonpalace_cli import companion
from moonpalace_cli.deferred_imports import ASYNCIO, defer

INTERVAL = 5.0
"""Seconds between turns."""
NICE_INCREMENT = 5


def tell(text: str) -> None:
    """Say what was sent."""
    companion.write(logging.INFO, f"reports: {text}")


def warn(text: str) -> None:
    """Say what goes wrong."""
    companion.write(logging.WARNING, f"reports: {text}")


def main() -> None:
    """Take turns until the proxy ends."""
    given = companion.take(Reporting, NICE_INCREMENT)
    if given is None:
        return
    stopping = threading.Event()
    companion.at_the_end(stopping.set)
    defer("asyncio", ASYNCIO)
    from moonpalace_cli.reporting.running import Reporter

    engine = companion.opened(given.database, stopping, "reports: rules wait")
    if engine is None:
        return
    settings = (given.rules, given.destinations, os.environ)
    reporter = Reporter(engine, *settings, tell, warn, given.redact_pattern, given.since, is_stopped=stopping.is_set)
    while not stopping.is_set():
        reporter.turn()
        stopping.wait(INTERVAL)
    engine.dispose()


if __name__ == "__main__":
    main()
