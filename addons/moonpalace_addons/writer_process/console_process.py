"""The process of the console, which starts and ends with the proxy."""

import logging
import threading

from moonpalace_addons.settings.values import Settings
from moonpalace_addons.writer_process.companion import Companion

logger = logging.getLogger("moonpalace")

MODULE = "moonpalace_cli.web"
EXIT_TIMEOUT = 2.0
"""Seconds that `close` waits for the process to end, which gives queries half of that."""


class ConsoleProcess:
    """A console that is started on another thread; errors are logged."""

    def __init__(self, settings: Settings) -> None:
        self._is_closed = False
        self._process: Companion | None = None
        # Starting a process may take long on a busy machine.
        threading.Thread(target=self._run, args=(settings,), name="moonpalace-console", daemon=True).start()

    def close(self) -> None:
        """Stop it and wait for its end."""
        self._is_closed = True
        if self._process is not None:
            self._process.close()
            self._process.wait(EXIT_TIMEOUT)

    def _run(self, settings: Settings) -> None:
        try:
            self._process = Companion(MODULE, settings, logger)
        except OSError as error:
            logger.warning("the console could not be started: %s", error)
            return
        if self._is_closed:
            self._process.close()
        code = self._process.wait()
        if code and not self._is_closed:
            logger.warning("the console has ended (exit code %d): mpal web shows the calls; the proxy continues", code)
