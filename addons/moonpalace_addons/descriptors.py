"""Refuse connections while the process is out of file descriptors, with a rate-limited warning.

asyncio tries to accept the whole backlog, logs each failure, and schedules a retry for each, which blocks all calls.
Two reserved descriptors make it possible to accept and close the waiting connections.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import time

from moonpalace_addons.configuration import Configuration

logger = logging.getLogger("moonpalace")

RESERVE = 2
"""Descriptors: one to duplicate the listening socket, one for the client."""
MAX_REFUSED = 10_000
"""Clients refused in one turn of the event loop: a flood must not delay the calls."""
RETRY = "_start_serving"
"""Part of asyncio's message if its retry a second later finds the socket closed, which is not an error."""
LOG_INTERVAL = 10.0
"""Seconds between warnings."""


class Descriptors:
    """Hold reserved descriptors, and handle asyncio's failures to accept."""

    name = "moonpalace-descriptors"

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._reserve: list[int] = []
        self._refused = 0
        self._said_at = -LOG_INTERVAL

    def running(self) -> None:
        """Install an exception handler, which passes all other errors to the previous one."""
        if not self.configuration.ready:
            return
        self._refill()
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler() or type(loop).default_exception_handler

        def handle(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
            error, listening = context.get("exception"), context.get("socket")
            is_out = isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
            if is_out and listening is not None:
                self._refuse(listening.fileno())  # type: ignore[attr-defined]
                loop.call_soon(self._refill)  # asyncio retries once more, and must find the backlog empty
            elif RETRY not in str(context.get("message")):
                before(loop, context)

        loop.set_exception_handler(handle)

    def done(self) -> None:
        """Close the reserved descriptors."""
        self._release()

    def _refuse(self, listening: int) -> None:
        """Accept and close all connections in the backlog of a listening socket."""
        self._release()
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(listening)) as waiting:
            for _ in range(MAX_REFUSED):
                waiting.accept()[0].close()  # raises BlockingIOError once the backlog is empty
                self._refused += 1
        self._tell()

    def _tell(self) -> None:
        if self._refused and time.monotonic() - self._said_at >= LOG_INTERVAL:
            logger.warning(
                "out of file descriptors: connections refused: %d; raise the limit (ulimit -n)", self._refused
            )
            self._said_at, self._refused = time.monotonic(), 0

    def _refill(self) -> None:
        with contextlib.suppress(OSError):  # none available: retried next time
            while len(self._reserve) < RESERVE:
                self._reserve.append(os.open(os.devnull, os.O_RDONLY))

    def _release(self) -> None:
        for descriptor in self._reserve:
            os.close(descriptor)
        self._reserve.clear()
