"""Run the console for the stored calls in a separate process, whose end does not affect the proxy."""

import asyncio

from moonpalace_addons.configuration import Configuration
from moonpalace_addons.writer_process.console_process import ConsoleProcess


class WebConsole:
    """Start the console once clients can call, and stop it when nothing else is left to do."""

    name = "moonpalace-web-console"

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._process: ConsoleProcess | None = None

    def running(self) -> None:
        """Start it, if that is wanted; its address is logged when it listens."""
        if self.configuration.ready and self.configuration.settings.console:
            self._process = ConsoleProcess(self.configuration.settings)

    async def done(self) -> None:
        """Have it stop."""
        if self._process is not None:
            await asyncio.to_thread(self._process.close)
