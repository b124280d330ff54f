"""Distinguish linear time from quadratic, for tests of untrusted input of any size."""

import time
from collections.abc import Callable

GROWTH, MOST = 8, 24
LEAST_SECONDS = 0.001


def takes_linear_time(prepare: Callable[[int], Callable[[], object]], small: int) -> bool:
    """Return whether `GROWTH` times the work takes less than `MOST` times as long: quadratic work would take 64 times.

    `prepare` makes a given amount of work, which is timed without the preparation. If it takes too long it is tried
    again, since a processor that others use too may be slow for a while.
    """

    def seconds(amount: int) -> float:
        run = prepare(amount)
        started = time.process_time()
        run()
        return time.process_time() - started

    allowed = MOST * max(min(seconds(small) for _ in range(3)), LEAST_SECONDS)
    return any(seconds(GROWTH * small) < allowed for _ in range(3))
