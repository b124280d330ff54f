"""Change many rows in short transactions, so that other users of the store never wait long.

While a proxy uses the store, its writer waits for at most one step. Other writers, such as `mpal label` or a starting
proxy, wait once and may wait longer.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.write import recovery

SHARED_STEP, EXCLUSIVE_STEP = 0.05, 0.5
"""Target seconds per step while a proxy uses the store, and while none does."""

PAUSE_SHARE = 0.4
"""Length of a pause relative to the step before it, while a proxy uses the store."""

MIN_ROWS, FIRST_ROWS, MAX_ROWS = 50, 100, 50_000
"""Rows per step. A transaction of one row costs about as much as one of 50, so on a busy machine smaller steps would
not be faster, and the work would never finish."""

MAX_GROWTH = 4
"""Maximum growth from one step to the next, as a factor."""


@dataclass(slots=True)
class Pace:
    """The size of the next step, adapted to the duration of the last one."""

    minimum: int = MIN_ROWS
    first: int = FIRST_ROWS
    maximum: int = MAX_ROWS
    _done: int = 0
    _took: float = 0.0

    def amount(self, *, shared: bool) -> int:
        """Return the size of the next step; `shared` means that a proxy uses the store."""
        if not self._done:
            return self.first
        step = SHARED_STEP if shared else EXCLUSIVE_STEP
        in_time = int(self._done * min(step / self._took, MAX_GROWTH)) if self._took else self._done * MAX_GROWTH
        return max(self.minimum, min(self.maximum, in_time))

    def note(self, done: int, took: float, *, shared: bool) -> float:
        """Record a step of size `done` that took `took` seconds; return the seconds to pause."""
        self._done, self._took = done, took
        return took * PAUSE_SHARE if shared else 0.0


def ignore(_: int) -> None:
    """Do nothing, where nobody wants to know how far the work is."""


def in_steps[T](
    engine: Engine,
    items: Sequence[T],
    work: Callable[[Connection, Sequence[T]], int],
    stop: threading.Event,
    done: Callable[[int], None] = ignore,
) -> int:
    """Apply `work` to all items, some per exclusive transaction; return the sum of its results.

    `done` is called after each transaction with its result.
    """
    total = at = 0
    pace = Pace()
    while at < len(items) and not stop.is_set():
        began = time.monotonic()
        with writing(engine, alone=True) as connection:
            shared = recovery.is_in_use(connection)
            some = items[at : at + pace.amount(shared=shared)]
            result = work(connection, some)
        total += result
        done(result)
        at += len(some)
        stop.wait(pace.note(len(some), time.monotonic() - began, shared=shared))
    return total
