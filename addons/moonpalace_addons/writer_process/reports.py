"""What the process that writes tells the proxy: its log, and which calls are settled."""

import logging
import queue
import threading
from logging.handlers import QueueHandler
from typing import IO

from moonpalace_addons.writer_process import messages
from moonpalace_addons.writer_process.messages import CAPACITY

CLOSE_TIMEOUT = 5.0


class Reports(QueueHandler):
    """Send messages and the records of the log on a thread of its own, so that no row waits for who reads them."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._waiting = queue.SimpleQueue[object]()
        super().__init__(self._waiting)
        self._pipe = pipe
        self._thread = threading.Thread(target=self._send_all, name="moonpalace-reports", daemon=True)
        self._thread.start()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a record, or drop it if too many wait."""
        if self._waiting.qsize() < CAPACITY:
            self._waiting.put(record)

    def put(self, message: object) -> None:
        """Send a message; returns at once."""
        self._waiting.put(message)

    def finish(self) -> None:
        """Send what waits, unless nobody takes it."""
        self._waiting.put(None)
        self._thread.join(CLOSE_TIMEOUT)

    def _send_all(self) -> None:
        is_heard = True
        while batch := self._next():
            if is_heard:
                try:
                    messages.write(self._pipe, batch)
                except OSError:
                    is_heard = False  # the proxy has died: what there is to do is done all the same

    def _next(self) -> list[object]:
        """Wait for what is to be sent, and return all that waits: each piece wakes the proxy once. Empty at the end."""
        batch = list[object]()
        while not batch or not self._waiting.empty():
            message = self._waiting.get()
            if message is None:
                self._waiting.put(None)  # for the next time
                break
            batch.append(message)
        return batch
