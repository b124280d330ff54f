"""Open the store, keep its writer, close it."""

import contextlib
import logging
import sys
from collections.abc import Set as AbstractSet
from pathlib import Path

from mitmproxy.addonmanager import Loader

from moonpalace_addons.configuration import Configuration
from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.engine import open_store
from moonpalace_addons.store.housekeeper import Housekeeper
from moonpalace_addons.store.indexer import Indexer
from moonpalace_addons.store.tasks import Task
from moonpalace_addons.store.writer import Observer, Writer

logger = logging.getLogger(__name__)

SWITCH_INTERVAL = 0.00005
"""Seconds after which the writer's thread gives way to the event loop, which asks for that after each use of a socket.

With Python's 5 ms, chunks would be late by as much.
"""


class Recorder:
    """Own the writer for as long as the proxy lives."""

    name = "moonpalace-recorder"

    def __init__(self, configuration: Configuration, observer: Observer) -> None:
        self.configuration = configuration
        self.observer = observer
        self.writer: Writer | None = None
        self.housekeeper: Housekeeper | None = None
        self.indexer: Indexer | None = None

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
        """Open the store, start the writer and what keeps the store small and indexed; raises StoreError."""
        make_private(self.configuration.settings.home)
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL))
        settings = self.configuration.settings
        self.writer = Writer(open_store(settings.database, create=True), self.observer, settings.home)
        self.writer.start()
        engine = self.writer.engine
        self.housekeeper = Housekeeper(engine, days=settings.retention_days, max_size=settings.max_size)
        self.housekeeper.start()
        self.indexer = Indexer(engine)
        self.indexer.start()

    def done(self) -> None:
        """Store what waits, then close."""
        if self.writer is None:
            return
        for worker in (self.housekeeper, self.indexer):
            if worker is not None:
                worker.stop()
        if not self.writer.stop():
            logger.error("store: some calls could not be stored: %s", self.writer.trouble or "the database hangs")
        self.writer.engine.dispose()


def make_private(home: Path) -> None:
    """Take others' rights to MoonPalace's folder away: an older program may have made it for all to read."""
    if home.is_dir() and home.stat().st_mode & 0o077:
        with contextlib.suppress(OSError):  # somebody else's folder: its owner decides
            home.chmod(0o700)
