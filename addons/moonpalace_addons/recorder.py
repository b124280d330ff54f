"""Start the writer's process, pass tasks from the hooks to it, and have it finish."""

import asyncio
import gc
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace

from mitmproxy.addonmanager import Loader

from moonpalace_addons.configuration import Configuration
from moonpalace_addons.errors import StoreError
from moonpalace_addons.settings import telemetry
from moonpalace_addons.settings.values import Settings
from moonpalace_addons.store.database.private import make_home
from moonpalace_addons.store.tasks import Task
from moonpalace_addons.store.write.host import new_run
from moonpalace_addons.wire.otlp_environment import asked_by
from moonpalace_addons.wire.otlp_mistakes import mistakes
from moonpalace_addons.writer_process.client import WriterClient
from moonpalace_addons.writer_process.messages import Opening, RowLine

logger = logging.getLogger(__name__)

SWITCH_INTERVAL = 0.00005
"""Seconds after which another thread, such as the logger's, yields the GIL to the event loop, which needs it again
after each socket operation. With Python's default of 5 ms, chunks would be delayed by as much.
"""


GARBAGE_THRESHOLDS = (2_000, 10, 10)
"""Thresholds of the garbage collector: each collection delays streams, and only calls on mitmproxy's own server leave
much for it."""


class Recorder:
    """Own the writer during the life of the proxy."""

    name = "moonpalace-recorder"

    def __init__(
        self,
        configuration: Configuration,
        *,
        exits: bool = False,
        on_row: Callable[[RowLine], None] | None = None,
    ) -> None:
        self.configuration = configuration
        self._exits = exits
        """Whether to exit with code 1 if calls are lost (mitmdump, mitmweb); `mpal start` checks `is_complete`."""
        self.on_row = on_row
        """Called on another thread with a line for each row that is written."""
        self.writer: WriterClient | None = None
        self.is_complete = True
        """Whether, at the end, all calls are known to be stored, or to be in a journal."""

    def put(self, task: Task) -> None:
        """Pass a task to the writer without blocking."""
        if self.writer is not None:
            self.writer.put(task)

    def load(self, _: Loader) -> None:
        """Open the store before any socket, if the settings are known; raise StoreError."""
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

    def running(self) -> None:
        """Exclude all objects loaded so far, above all mitmproxy's modules, from garbage collection.

        Scanning them takes a fifth of the processor's time of `mitmdump`.
        """
        if self.writer is not None:
            gc.freeze()
            gc.set_threshold(*GARBAGE_THRESHOLDS)

    def open(self) -> None:
        """Start the writer, which opens the store and maintains it; raise StoreError."""
        settings = self.configuration.settings
        make_home(settings.home)
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL))
        opening = Opening(
            exportable(settings),
            new_run(),
            log_width=log_width(),
            rows=self.on_row is not None,
            since=time.time_ns() // 1000,
        )
        self.writer = WriterClient(opening, self.on_row)

    async def done(self) -> None:
        """Have pending tasks stored, in a thread, as the loop still has connections to close; losses are logged."""
        self.is_complete = self.writer is None or await asyncio.to_thread(self.writer.stop)
        task = asyncio.current_task()
        if not self.is_complete and self._exits and task is not None:
            # mitmproxy has no way to set an exit code, and raising here would keep other addons from their `done`.
            # This task runs the master: once it is done, all addons are.
            task.add_done_callback(lambda _: sys.exit(1))


def exportable(settings: Settings) -> Settings:
    """Return the settings, without `otel` if its packages are missing: a variable alone must not refuse the start."""
    if not settings.otel:
        return settings
    if not telemetry.is_installed():
        name = asked_by(os.environ)
        logger.warning("otel: %s is set, but calls are not exported without: %s", name, telemetry.INSTALL)
        return replace(settings, otel=False)
    for mistake in mistakes(os.environ):
        logger.warning("otel: %s", mistake)
    return settings


def log_width() -> int | None:
    """Return the width of the terminal of standard error, None if it is not a terminal."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return shutil.get_terminal_size().columns if is_terminal else None
