"""A PostgreSQL connection with a client-side response timeout.

TCP timeouts detect a dead machine, but not a server process that hangs, because its kernel still acknowledges packets.
The server's `statement_timeout` does not help then either.
"""

import time
from collections.abc import Generator
from typing import cast

import psycopg

RESPONSE_TIMEOUT = 6.0
"""Seconds for the server to respond to a statement of a writing transaction, or to the pool's pre-ping.

Longer than the lock timeout, and short enough for a proxy to try twice while it shuts down.
"""

type Waiting[T] = Generator[int, int | None, T]
"""The driver's wait generator: it yields what it waits for and is sent what is ready, or 0 a few times a second."""


class SilentServerError(psycopg.OperationalError):
    """The server did not answer in time."""


class TimeoutConnection(psycopg.Connection[tuple[object, ...]]):
    """A connection that is closed if the server is silent for `response_timeout` seconds; None means no limit."""

    response_timeout: float | None = RESPONSE_TIMEOUT

    def wait[T](self, gen: Waiting[T], *arguments: object, **named: object) -> T:  # type: ignore[override]
        """Wait as the driver does, with the timeout; the driver does all its waiting here."""
        if self.response_timeout is not None:
            gen = within(gen, self.response_timeout)
        try:
            return super().wait(gen, *arguments, **named)  # type: ignore[arg-type]
        except SilentServerError:
            self.close()  # a late response must not be taken for that of a later statement
            raise


def within[T](waiting: Waiting[T], timeout: float) -> Waiting[T]:
    """Wrap a wait generator; raises SilentServerError once nothing has been ready for `timeout` seconds."""
    last_response = time.monotonic()
    try:
        events = next(waiting)
        while True:
            ready = yield events
            if ready:
                last_response = time.monotonic()
            elif time.monotonic() - last_response > timeout:
                raise SilentServerError(f"the server has not answered for {timeout:g} s")
            events = waiting.send(ready)
    except StopIteration as end:
        return cast(T, end.value)
