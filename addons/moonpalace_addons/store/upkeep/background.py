"""What is done to the store again and again beside the writing, each on a thread of its own that never raises."""

import logging
import threading
from abc import ABC, abstractmethod

from moonpalace_addons.store.database.outage import words

logger = logging.getLogger(__name__)

JOIN_MOST = 10.0


class Upkeep(ABC):
    """Look after one thing: `first` seconds after the start, then `interval` seconds after each look.

    `failure` says what could not be done, for the log.
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
        """Tell whether there is anything to look after."""
        return True

    def start(self) -> None:
        """Start the thread, if there is anything to look after."""
        if self.is_wanted:
            self._thread.start()

    def stop(self) -> None:
        """Stop after the step that is being done."""
        self.stopping.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_MOST)

    def _work(self) -> None:
        pause = self.first
        while not self.stopping.wait(pause):
            self.look()
            pause = self.interval

    def look(self) -> None:
        """Do what is to be done; whatever goes wrong is logged, once for the same trouble."""
        try:
            self.do()
        except Exception as error:  # noqa: BLE001 - a thread that has died looks after nothing
            said = words(error)
            if said != self.last_error:
                logger.warning("store: %s: %s; it is tried again", self.failure, said)
            self.last_error = said
        else:
            self.last_error = None

    @abstractmethod
    def do(self) -> None:
        """Do what is to be done, in steps between which `stopping` is asked; may raise anything."""
