"""Keep the index of words while the proxy runs, in a part of the time only.

A thread that works keeps the others of its process from working, the one that stores calls too, and takes a processor:
so it rests after each step of a few milliseconds, for several times as long.
"""

import time
from collections.abc import Generator

from sqlalchemy import Engine

from moonpalace_addons.store.upkeep import indexing, search_blocks
from moonpalace_addons.store.upkeep.background import Upkeep

FIRST = 5.0
"""Seconds after the start of the proxy to the first look."""

INTERVAL = 10.0
"""Seconds from the end of one look to the next."""

WHOLE = 600.0
"""Seconds after which a look goes through all calls again, and not only through those since the last."""

STEP = 0.002
"""Seconds of work after which it rests."""

REST = 2
"""Times as long as it has worked."""


class Indexer(Upkeep):
    """Index each block of calls once all of them are over."""

    def __init__(self, engine: Engine) -> None:
        failure = "the index of words could not be kept"
        super().__init__("moonpalace-indexer", first=FIRST, interval=INTERVAL, failure=failure)
        self.engine = engine
        self._from = 0
        self._looked = time.monotonic()

    def do(self) -> None:
        """Index what can be."""
        now = time.monotonic()
        if now - self._looked >= WHOLE:
            self._from, self._looked = 0, now
        with self.engine.connect() as connection:
            end = search_blocks.open_block(connection)
            blocks = search_blocks.missing(connection, self._from, end)
        left = [block for block in blocks if not self._do(indexing.index(self.engine, block))]
        self._from = min(left, default=end)

    def _do(self, steps: Generator[None, None, bool]) -> bool:
        """Take the steps, with rests; return what they return, False if it is told to stop."""
        began = time.perf_counter()
        while not self.stopping.is_set():
            try:
                next(steps)
            except StopIteration as ended:
                return bool(ended.value)
            took = time.perf_counter() - began
            if took >= STEP:
                self.stopping.wait(took * REST)
                began = time.perf_counter()
        return False
