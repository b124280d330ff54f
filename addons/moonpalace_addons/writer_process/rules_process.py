"""The process that runs the rules which report calls, started by the writer's process and started again if it dies.

A report is made by `moonpalace_cli`, which this library does not import, and may take much memory: in a process of its
own, at a lower priority, it delays no row, and no mistake in it stops the writer.
"""

import contextlib
import importlib.util
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from moonpalace_addons.errors import SettingError
from moonpalace_addons.store.query.errors import PredicateError
from moonpalace_addons.store.upkeep.background import Upkeep
from moonpalace_addons.writer_process import messages
from moonpalace_addons.writer_process.messages import Reporting

logger = logging.getLogger("moonpalace.reports")  # below the one whose messages `mpal start` shows all

FIRST_DELAY = 2.0
"""Seconds from the start of the proxy, which is busy then, to that of the process."""
INTERVAL = 10.0
"""Seconds between checks whether it runs."""
MODULE = "moonpalace_cli.reporting"


def check(reporting: Reporting, dialect: str) -> None:
    """Raise SettingError for a rule whose predicate is none."""
    from moonpalace_addons.store.query import condition  # only with rules, as the grammar takes memory

    for rule in reporting.rules:
        try:
            condition.check(rule.when, dialect)
        except PredicateError as error:
            raise SettingError(f"rules.{rule.name}.when in config.yaml: {error}") from None


class RulesProcess(Upkeep):
    """Keep the process running; at the end it is told to stop, and left to finish what it is sending."""

    def __init__(self, reporting: Reporting | None) -> None:
        failure = "the process that reports calls could not be started"
        super().__init__("moonpalace-rules", first=FIRST_DELAY, interval=INTERVAL, failure=failure)
        self.reporting = reporting
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_wanted(self) -> bool:
        """Return whether there are rules."""
        return self.reporting is not None

    @property
    def pid(self) -> int | None:
        """Return the process's pid, None before its start."""
        return None if self._process is None else self._process.pid

    def do(self) -> None:
        """Start the process if it does not run."""
        if self._process is not None:
            if (code := self._process.poll()) is None:
                return
            logger.warning("reports: the process that sends them has ended (exit code %d); it is started again", code)
            self._close()
        self._process = started()
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        with contextlib.suppress(OSError):  # it has ended, as the next check finds
            messages.write(self._process.stdin, self.reporting)
        threading.Thread(target=log_lines, args=(self._process,), name="moonpalace-rules-log", daemon=True).start()

    def stop(self) -> None:
        """Have it stop."""
        super().stop()
        self._close()

    def _close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


def started() -> "subprocess.Popen[bytes]":
    """Start the process; raise OSError."""
    places = [path for path in sys.path if path]
    if importlib.util.find_spec(MODULE.partition(".")[0]) is None:  # mitmdump -s in a checkout knows addons/ alone
        places.append(str(Path(__file__).resolve().parents[3]))
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-P", "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
    )


def log_lines(process: "subprocess.Popen[bytes]") -> None:
    """Log what the process says, until its end."""
    assert process.stdout is not None  # noqa: S101 - a pipe
    with process.stdout:
        for line in process.stdout:
            with contextlib.suppress(ValueError, TypeError):
                level, text = json.loads(line)
                logger.log(level, "reports: %s", text)
