"""Update the word index while the proxy runs, at a limited rate.

A busy thread blocks the other threads of its process (the GIL), including the one that stores calls, and occupies a
processor. It therefore pauses after every few milliseconds of work, for longer while many calls are stored: a search
reads the calls that are not indexed yet.
"""

import time
from collections.abc import Generator

from sqlalchemy import Engine

from moonpalace_addons.store.upkeep import indexing, search_blocks
from moonpalace_addons.store.upkeep.background import Upkeep

FIRST_DELAY = 5.0
"""Seconds from the start of the proxy to the first run."""

INTERVAL = 10.0
"""Seconds from the end of one run to the next."""

FULL_SCAN_INTERVAL = 600.0
"""Seconds between runs that check all calls rather than only new ones."""

WORK_TIME = 0.002
"""Seconds of work between pauses."""

PAUSE_FACTOR = 9
"""Length of a pause as a multiple of the work before it: a tenth of a processor indexes 500 calls a second."""

BUSY_PAUSE_FACTOR = 45
"""The same while the process is busy."""

BUSY_SHARE = 0.5
"""Share of a processor, its own work included, from which the process counts as busy."""


class Indexer(Upkeep):
    """Index each block of calls once all of its calls have ended."""

    def __init__(self, engine: Engine) -> None:
        failure = "the index of words could not be kept"
        super().__init__("moonpalace-indexer", first=FIRST_DELAY, interval=INTERVAL, failure=failure)
        self.engine = engine
        self._from = 0
        self._full_scan_at = time.monotonic()
        self._looked_at = (0.0, 0.0)

    def do(self) -> None:
        """Index the blocks that are complete."""
        now = time.monotonic()
        if now - self._full_scan_at >= FULL_SCAN_INTERVAL:
            self._from, self._full_scan_at = 0, now
        with self.engine.connect() as connection:
            end = search_blocks.open_block(connection)
            blocks = search_blocks.missing(connection, self._from, end)
        left = [block for block in blocks if not self._run(indexing.index(self.engine, block))]
        self._from = min(left, default=end)

    def _run(self, steps: Generator[None, None, bool]) -> bool:
        """Run the steps with pauses; return their result, False if stopped."""
        began = time.perf_counter()
        while not self.stopping.is_set():
            try:
                next(steps)
            except StopIteration as ended:
                return bool(ended.value)
            took = time.perf_counter() - began
            if took >= WORK_TIME:
                self.stopping.wait(took * (BUSY_PAUSE_FACTOR if self._is_busy() else PAUSE_FACTOR))
                began = time.perf_counter()
        return False

    def _is_busy(self) -> bool:
        """Return whether the process has been busy since this was asked last."""
        now = (time.perf_counter(), time.process_time())
        passed, used = (later - earlier for later, earlier in zip(now, self._looked_at, strict=True))
        self._looked_at = now
        return used > BUSY_SHARE * passed
