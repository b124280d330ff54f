"""Start the process that writes to the store, hand it what the hooks say, have it finish."""

import asyncio
import logging
import sys
from collections.abc import Set as AbstractSet

from mitmproxy.addonmanager import Loader

from moonpalace_addons.configuration import Configuration
from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.private import make_home
from moonpalace_addons.store.tasks import Task
from moonpalace_addons.store.write.host import new_run
from moonpalace_addons.writer_process.client import WriterClient
from moonpalace_addons.writer_process.messages import Opening

logger = logging.getLogger(__name__)

SWITCH_INTERVAL = 0.00005
"""Seconds after which another thread, such as that of the log, gives way to the event loop, which asks for that after
each use of a socket. With Python's 5 ms, chunks would be late by as much.
"""


class Recorder:
    """Own the writer for as long as the proxy lives."""

    name = "moonpalace-recorder"

    def __init__(self, configuration: Configuration, *, exits: bool = False) -> None:
        self.configuration = configuration
        self._exits = exits
        """mitmdump and mitmweb end with exit code 1 if calls are lost; `mpal start` asks, and says more."""
        self.writer: WriterClient | None = None
        self.is_complete = True
        """Whether, at the end, all calls are known to be stored, or to be in a journal."""

    def put(self, task: Task) -> None:
        """Hand a task to the writer; returns at once."""
        if self.writer is not None:
            self.writer.put(task)

    def load(self, _: Loader) -> None:
        """Open the store before there is a socket, if the settings are known; a StoreError goes to the caller."""
        if self.configuration.ready:
            self.open()

    def configure(self, _: AbstractSet[str]) -> None:
        """Open the store as soon as the settings are known."""
        if self.writer is not None or not self.configuration.ready:
            return
        try:
            self.open()
        except StoreError as error:
            logger.error("Error: %s", error)  # noqa: TRY400 - ends mitmproxy at startup, in one line

    def open(self) -> None:
        """Have the store opened, and kept small and indexed; raises StoreError."""
        settings = self.configuration.settings
        make_home(settings.home)
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL))
        self.writer = WriterClient(
            Opening(settings.database, settings.home, new_run(), settings.retention_days, settings.max_size)
        )

    async def done(self) -> None:
        """Have what waits stored, in a thread: the loop has connections to close meanwhile. What is lost is logged."""
        self.is_complete = self.writer is None or await asyncio.to_thread(self.writer.stop)
        task = asyncio.current_task()
        if not self.is_complete and self._exits and task is not None:
            # mitmproxy has no exit code of its own, and what this task raised would keep other addons from their end.
            # It is the one that runs the master: when it is over, all have had theirs.
            task.add_done_callback(lambda _: sys.exit(1))
