"""Wait for other threads and processes."""

import threading
import time
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds: long, since only a failure waits this long."""
PAUSE = 0.01


def until[T](condition: Callable[[], T], timeout: float = PATIENCE) -> T:
    """Return the result of `condition` once it is true; fail after `timeout` seconds."""
    pause = threading.Event()  # a test may have put something else in the place of time.sleep
    began = time.monotonic()
    deadline = began + timeout
    while not (value := condition()):
        looked = time.monotonic()
        assert looked < deadline, f"not true after {timeout:g} s: {value!r}"
        pause.wait(max(PAUSE, 2 * (looked - began)))  # what takes long leaves the processor to what it waits for
        began = time.monotonic()
    return value
