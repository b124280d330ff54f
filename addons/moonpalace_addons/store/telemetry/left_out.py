"""Log when calls are no longer exported and, once they are again, how many were left out."""

import logging
import threading
import time
from collections.abc import Iterable
from datetime import datetime

from moonpalace_addons.store.exchange import Exchange

logger = logging.getLogger(__name__)


class LeftOut:
    """The calls that were not exported to a receiver named `place`; thread-safe."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.problem: str | None = None
        """Why calls are not exported now; None if they are."""
        self.last: tuple[str, int] | None = None
        """The last such reason, and when it began, in microseconds since the epoch."""
        self.total = 0
        self.oldest: datetime | None = None
        """When the oldest call that was left out began."""
        self._count = 0
        self._first: datetime | None = None
        self._lock = threading.Lock()

    def begin(self, problem: str, calls: Iterable[Exchange] = ()) -> None:
        """Note that calls are left out, and why; only the first problem is logged."""
        self.add(calls)
        if self.note(problem):
            logger.warning("otel: %s %s; calls are stored, and exported once that is over", self.place, problem)

    def note(self, problem: str) -> bool:
        """Note why calls are not exported from now on; return whether they were until now."""
        with self._lock:
            if self.problem is not None:
                return False
            self.problem, self.last = problem, (problem, time.time_ns() // 1000)
            return True

    def add(self, calls: Iterable[Exchange]) -> None:
        """Note calls that are left out."""
        with self._lock:
            for call in calls:
                self._count += 1
                self.total += 1
                self._first = min(self._first or call.started_at, call.started_at)
                self.oldest = min(self.oldest or call.started_at, call.started_at)

    def end(self) -> None:
        """Log that calls are exported again, unless they were already."""
        with self._lock:
            if self.problem is None:
                return
            self.problem, words = None, self._taken()
        logger.warning("otel: %s accepts calls again; %s", self.place, words)

    def close(self) -> None:
        """Log how many calls were left out until the end, if any."""
        with self._lock:
            count, words = self._count, self._taken()
        if count:
            logger.warning("otel: the proxy ends before all calls are exported; %s", words)

    def _taken(self) -> str:
        """Describe how many calls were left out and which command sends them; reset the count."""
        count, first = self._count, self._first
        self._count, self._first = 0, None
        if first is None:
            return "no call was left out"
        return f"{count} were left out, which this command sends: mpal otel --since '{first.astimezone():%F %T}'"
