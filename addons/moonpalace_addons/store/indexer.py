"""Keep the index of words while the proxy runs, on a thread of its own that never raises and takes little of the time.

A thread that works keeps the others from working, those that carry tokens too: so it rests after each step of a few
milliseconds, for several times as long.
"""

import logging
import threading
import time
from collections.abc import Generator

from sqlalchemy import Engine

from moonpalace_addons.store import indexing
from moonpalace_addons.store.records import search_blocks

logger = logging.getLogger(__name__)

FIRST = 5.0
"""Seconds after the start of the proxy to the first look."""

INTERVAL = 10.0
"""Seconds from the end of one look to the next."""

WHOLE = 600.0
"""Seconds after which a look goes through all calls again, and not only through those since the last."""

STEP = 0.002
"""Seconds of work after which it rests."""

REST = 4
"""Times as long as it has worked."""

JOIN_MOST = 10.0


class Indexer:
    """Index each block of calls once all of them are over."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.trouble: str | None = None
        self._from = 0
        self._looked = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="moonpalace-indexer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the step that is being done."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_MOST)

    def _work(self) -> None:
        pause = FIRST
        while not self._stop.wait(pause):
            self.look()
            pause = INTERVAL

    def look(self) -> None:
        """Index what can be; whatever goes wrong is logged, once for the same trouble."""
        try:
            self._index()
        except Exception as error:  # noqa: BLE001 - a thread that has died indexes nothing
            words = (str(getattr(error, "orig", None) or error).strip() or type(error).__name__).splitlines()[0]
            if words != self.trouble:
                logger.warning("store: the index of words could not be kept: %s; it is tried again", words)
            self.trouble = words
        else:
            self.trouble = None

    def _index(self) -> None:
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
        while not self._stop.is_set():
            try:
                next(steps)
            except StopIteration as ended:
                return bool(ended.value)
            took = time.perf_counter() - began
            if took >= STEP:
                self._stop.wait(took * REST)
                began = time.perf_counter()
        return False
