"""A connection to PostgreSQL that gives up on a server that has gone silent.

TCP's own limits notice a machine that is gone, not a server that stands still: its kernel goes on to answer for it. Nor
can the server's `statement_timeout` help then.
"""

import time
from collections.abc import Generator
from typing import cast

import psycopg

PATIENCE = 6.0
"""Seconds that the server may take for a statement of a transaction that writes, or for a sign of life.

More than a statement waits for a lock, and so little that a proxy which is told to end can try twice in time.
"""

type Waiting[T] = Generator[int, int | None, T]
"""What the driver waits with: it says for what, and is told what is ready, nothing a few times a second."""


class SilentServerError(psycopg.OperationalError):
    """The server did not answer in time."""


class PatientConnection(psycopg.Connection[tuple[object, ...]]):
    """A connection that is closed when the server takes more than `patience` seconds; None is for ever."""

    patience: float | None = PATIENCE

    def wait[T](self, gen: Waiting[T], *arguments: object, **named: object) -> T:  # type: ignore[override]
        """Wait for what the driver does, the one place where it waits."""
        if self.patience is not None:
            gen = within(gen, self.patience)
        try:
            return super().wait(gen, *arguments, **named)  # type: ignore[arg-type]
        except SilentServerError:
            self.close()  # whatever it says later is not to be taken for the answer to something else
            raise


def within[T](waiting: Waiting[T], patience: float) -> Waiting[T]:
    """Wait as before; raise SilentServerError once nothing has been ready for so many seconds."""
    heard = time.monotonic()
    try:
        wanted = next(waiting)
        while True:
            ready = yield wanted
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > patience:
                raise SilentServerError(f"the server has not answered for {patience:g} s")
            wanted = waiting.send(ready)
    except StopIteration as end:
        return cast(T, end.value)
