"""Send log records and messages from the writer's process to the proxy."""

import logging
import queue
import threading
from logging.handlers import QueueHandler
from typing import IO

from moonpalace_addons.writer_process import messages
from moonpalace_addons.writer_process.messages import MAX_QUEUED_RECORDS

CLOSE_TIMEOUT = 5.0


class Outbox(QueueHandler):
    """Send messages and log records on a thread of its own, so that a slow reader never delays a row."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._waiting = queue.SimpleQueue[object]()
        super().__init__(self._waiting)
        self._pipe = pipe
        self._thread = threading.Thread(target=self._send_all, name="moonpalace-outbox", daemon=True)
        self._thread.start()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a record, or drop it if too many are queued."""
        if self._waiting.qsize() < MAX_QUEUED_RECORDS:
            self._waiting.put(record)

    def put(self, message: object) -> None:
        """Queue a message; returns at once."""
        self._waiting.put(message)

    def finish(self) -> None:
        """Send queued messages, unless the proxy does not read them in time."""
        self._waiting.put(None)
        self._thread.join(CLOSE_TIMEOUT)

    def _send_all(self) -> None:
        has_reader = True
        while batch := self._next():
            if has_reader:
                try:
                    messages.write(self._pipe, batch)
                except OSError:
                    has_reader = False  # the proxy has died; the work continues

    def _next(self) -> list[object]:
        """Wait for messages; return all that are queued, so that each write wakes the proxy once, none at the end."""
        batch = list[object]()
        while not batch or not self._waiting.empty():
            message = self._waiting.get()
            if message is None:
                self._waiting.put(None)  # for the next call
                break
            batch.append(message)
        return batch
