"""Periodic background maintenance of the store, each task on a separate thread that never raises."""

import logging
import threading
from abc import ABC, abstractmethod

from moonpalace_addons.store.database.outage import words

logger = logging.getLogger(__name__)

JOIN_TIMEOUT = 10.0


class Upkeep(ABC):
    """A maintenance task that runs `first` seconds after the start, then `interval` seconds after each run.

    `failure` is the log message for a failed run.
    """

    def __init__(self, name: str, *, first: float, interval: float, failure: str) -> None:
        self.first = first
        self.interval = interval
        self.failure = failure
        self.last_error: str | None = None
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    @property
    def is_wanted(self) -> bool:
        """Return whether the task is needed."""
        return True

    def start(self) -> None:
        """Start the thread if the task is needed."""
        if self.is_wanted:
            self._thread.start()

    def stop(self) -> None:
        """Stop after the current step."""
        self.stopping.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_TIMEOUT)

    def _work(self) -> None:
        pause = self.first
        while not self.stopping.wait(pause):
            self.look()
            pause = self.interval

    def look(self) -> None:
        """Run the task once; an error is logged unless it repeats the previous one."""
        try:
            self.do()
        except Exception as error:  # noqa: BLE001 - the thread must survive
            message = words(error)
            if message != self.last_error:
                logger.warning("store: %s: %s; retrying later", self.failure, message)
            self.last_error = message
        else:
            self.last_error = None

    @abstractmethod
    def do(self) -> None:
        """Do the work in steps, checking `stopping` between them; may raise anything."""
