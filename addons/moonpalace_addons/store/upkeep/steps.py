"""Change much of a store in short transactions, so that nobody who uses it meanwhile waits for long.

While a proxy uses the store, its writer waits for a whole step. Who else writes, `mpal label` or a proxy that starts,
waits once, and may wait longer.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.write import recovery

SHARED_STEP, ALONE_STEP = 0.05, 0.5
"""Seconds that a step is to take while a proxy uses the store, and while none does."""

PAUSE_SHARE = 0.4
"""Seconds of pause for each second of a step, while a proxy uses the store."""

MIN_ROWS, FIRST_ROWS, MAX_ROWS = 50, 100, 50_000
"""Rows in one step. A transaction of one row costs about what one of 50 does: on a machine with much else to do steps
are slow however small they are, and smaller ones would never come to an end."""

MAX_GROWTH = 4
"""How many times the rows of one step the next one may have."""


@dataclass(slots=True)
class Pace:
    """How much to do in one step, learned from the time that the last one took."""

    minimum: int = MIN_ROWS
    first: int = FIRST_ROWS
    maximum: int = MAX_ROWS
    _done: int = 0
    _took: float = 0.0

    def amount(self, *, shared: bool) -> int:
        """Return how much to do next; `shared` says whether a proxy uses the store."""
        if not self._done:
            return self.first
        step = SHARED_STEP if shared else ALONE_STEP
        in_time = int(self._done * min(step / self._took, MAX_GROWTH)) if self._took else self._done * MAX_GROWTH
        return max(self.minimum, min(self.maximum, in_time))

    def note(self, done: int, took: float, *, shared: bool) -> float:
        """Learn from a step that did so much in so many seconds; return for how long to pause."""
        self._done, self._took = done, took
        return took * PAUSE_SHARE if shared else 0.0


def in_steps[T](
    engine: Engine, items: Sequence[T], work: Callable[[Connection, Sequence[T]], int], stop: threading.Event
) -> int:
    """Do the work on all items, a part of them in each transaction; return the sum of what it returns."""
    total = at = 0
    pace = Pace()
    while at < len(items) and not stop.is_set():
        began = time.monotonic()
        with writing(engine, alone=True) as connection:
            shared = recovery.is_in_use(connection)
            some = items[at : at + pace.amount(shared=shared)]
            total += work(connection, some)
        at += len(some)
        stop.wait(pace.note(len(some), time.monotonic() - began, shared=shared))
    return total
