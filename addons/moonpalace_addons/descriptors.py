"""Refuse connections while the process is out of file descriptors, with a word in the log now and then.

asyncio tries to accept a whole backlog one by one, logs each failure, and tries again for each of them: an avalanche
that stops all calls. Two descriptors in reserve let us take the clients that wait and send them away.
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
"""One to reach the listening socket, one for the client."""
MAX_REFUSED = 10_000
"""Clients that are sent away at a time: a flood must not hold up the calls."""
RETRY = "_start_serving"
"""In what asyncio says when it tries again a second later at a socket that was closed meanwhile: that is no fault."""
LOG_INTERVAL = 10.0
"""Seconds between two lines about it."""


class Descriptors:
    """Hold the reserve, and listen to what asyncio cannot do."""

    name = "moonpalace-descriptors"

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._reserve: list[int] = []
        self._refused = 0
        self._said_at = -LOG_INTERVAL

    def running(self) -> None:
        """Begin to listen; what else goes wrong is for the handler that was there."""
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
                loop.call_soon(self._refill)  # asyncio asks once more, and must see that nobody waits
            elif RETRY not in str(context.get("message")):
                before(loop, context)

        loop.set_exception_handler(handle)

    def done(self) -> None:
        """Give the reserve back."""
        self._release()

    def _refuse(self, listening: int) -> None:
        """Send all away who wait at a listening socket."""
        self._release()
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(listening)) as waiting:
            for _ in range(MAX_REFUSED):
                waiting.accept()[0].close()  # until nobody waits, which is an error of a socket that does not block
                self._refused += 1
        self._tell()

    def _tell(self) -> None:
        if self._refused and time.monotonic() - self._said_at >= LOG_INTERVAL:
            logger.warning(
                "out of file descriptors: connections refused: %d; raise the limit (ulimit -n)", self._refused
            )
            self._said_at, self._refused = time.monotonic(), 0

    def _refill(self) -> None:
        with contextlib.suppress(OSError):  # then there are none, and it is tried again next time
            while len(self._reserve) < RESERVE:
                self._reserve.append(os.open(os.devnull, os.O_RDONLY))

    def _release(self) -> None:
        for descriptor in self._reserve:
            os.close(descriptor)
        self._reserve.clear()
