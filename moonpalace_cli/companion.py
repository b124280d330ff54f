"""A process beside the proxy's: read its message, end when the proxy does, and send lines for its log.

`moonpalace_addons/writer_process/companion.py` is the other end.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.writer_process import messages

if TYPE_CHECKING:
    from sqlalchemy import Engine

OPENING_INTERVAL = 5.0
"""Seconds between attempts to open a store."""


def take[T](kind: type[T], nice: int) -> T | None:
    """Start: lower the priority, and return the message from the proxy; None if there is none of this kind."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the proxy decides when to stop
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(nice)
    message = next(messages.read(sys.stdin.buffer), None)
    return message if isinstance(message, kind) else None


def at_the_end(act: Callable[[], object]) -> None:
    """Call `act` on another thread when the proxy has closed standard input or is gone."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        act()

    threading.Thread(target=wait, daemon=True).start()


def write(level: int, text: str) -> None:
    """Write a line for the proxy's log; its reader may be gone."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps([level, text]) + "\n")
        sys.stdout.flush()


def opened(database: str, stopping: threading.Event, waiting: str) -> Engine | None:
    """Return the store once it can be opened; None if the proxy ends before that.

    `waiting` names the process in the log.
    """
    problem = ""
    while not stopping.is_set():
        try:
            return open_store(database)
        except StoreError as error:
            if problem != (problem := str(error)):
                write(logging.WARNING, f"{waiting} for the store: {problem}")
        stopping.wait(OPENING_INTERVAL)
    return None
