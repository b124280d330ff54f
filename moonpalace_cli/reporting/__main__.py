"""Run the rules that report calls, as a process that the writer's process starts: `python -m moonpalace_cli.reporting`.

Standard input carries the settings, and reaches its end when the proxy ends; a report that is being sent then is still
sent, so that nobody has to doubt whether it arrived. Lines for the proxy's log go to standard output.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.writer_process import messages
from moonpalace_addons.writer_process.messages import Reporting
from moonpalace_cli.deferred_imports import ASYNCIO, defer

if TYPE_CHECKING:
    from sqlalchemy import Engine

INTERVAL = 5.0
"""Seconds between turns."""
NICE_INCREMENT = 5


def write(level: int, text: str) -> None:
    """Write a line for the proxy's log; whoever read them may be gone."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps([level, text]) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Take turns until the proxy ends."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the proxy decides when to stop
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICE_INCREMENT)
    given = next(messages.read(sys.stdin.buffer), None)
    if not isinstance(given, Reporting):
        return
    stopping = threading.Event()
    threading.Thread(target=wait_for_the_end, args=(stopping,), daemon=True).start()
    defer("asyncio", ASYNCIO)
    from moonpalace_cli.reporting.running import Reporter

    engine = opened(given.database, stopping)
    if engine is None:
        return
    tell, warn = partial(write, logging.INFO), partial(write, logging.WARNING)
    settings = (given.rules, given.destinations, os.environ)
    reporter = Reporter(engine, *settings, tell, warn, given.redact_pattern, given.since, is_stopped=stopping.is_set)
    while not stopping.is_set():
        reporter.turn()
        stopping.wait(INTERVAL)
    engine.dispose()


def opened(database: str, stopping: threading.Event) -> Engine | None:
    """Return the store, once it can be opened; None if the proxy ends before that."""
    said = ""
    while not stopping.is_set():
        try:
            return open_store(database)
        except StoreError as error:
            if said != (said := str(error)):
                write(logging.WARNING, f"rules wait for the store: {said}")
        stopping.wait(INTERVAL)
    return None


def wait_for_the_end(stopping: threading.Event) -> None:
    """Wait until standard input is closed."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stopping.set()


if __name__ == "__main__":
    main()
