"""Tell linear time from quadratic, for tests of what comes from outside in any amount."""

import time
from collections.abc import Callable

GROWTH, MOST = 8, 24
LEAST_SECONDS = 0.001


def takes_linear_time(prepare: Callable[[int], Callable[[], object]], small: int) -> bool:
    """Tell whether `GROWTH` times as much takes less than `MOST` times as long: quadratic work would take 64 times.

    `prepare` makes a given amount of work, which is timed without the preparation. What takes too long is tried again,
    since a processor that others use too may be slow for a while.
    """

    def seconds(amount: int) -> float:
        run = prepare(amount)
        started = time.process_time()
        run()
        return time.process_time() - started

    allowed = MOST * max(min(seconds(small) for _ in range(3)), LEAST_SECONDS)
    return any(seconds(GROWTH * small) < allowed for _ in range(3))
