"""The memory of calls that wait to be stored: its limits, whether it is too much, and giving it back to the system."""

import ctypes
import sys
from collections.abc import Callable
from functools import cache

WINDOW_SIZE = 32_000_000
"""Approximate bytes of ended calls that are sent to the writer and not confirmed; the others are spooled.

Both the proxy, for replay, and the writer hold them. The proxy's spool holds as much before it uses the disk.
"""

MEMORY_LIMIT = WINDOW_SIZE // 2
"""Approximate bytes of waiting rows in the writer above which they are written to a journal."""

TRIM_THRESHOLD = 8_000_000
"""Bytes that have waited to be stored together, after which trimming pays."""

PASSED_THRESHOLD = 8 * TRIM_THRESHOLD
"""The same for bytes that have waited one after another, most of which took the place of those before."""


class MemoryUse:
    """The memory of the rows that wait, noted once a batch."""

    def __init__(self) -> None:
        self.now = 0
        self._most = self._passed = 0
        self._was_over = False

    def is_too_much(self, weight: int, counted: int, *, at_once: bool) -> bool:
        """Note that rows of `weight` bytes wait now; return whether `counted` of these are over the limit.

        Unless `at_once`, they must have been so the last time too: one large batch means nothing, but two in a row mean
        that the store is too slow.
        """
        self.now = weight
        self._most = max(self._most, weight)
        self._passed += weight
        was_over, self._was_over = self._was_over, counted > MEMORY_LIMIT
        return self._was_over and (was_over or at_once)

    def give_back(self) -> None:
        """Return free memory to the system, if much has waited since the last time."""
        if self._most > TRIM_THRESHOLD or self._passed > PASSED_THRESHOLD:
            self._most = self._passed = 0
            trim()


def trim() -> None:
    """Return free memory that glibc would keep for this process; takes about 0.1 ms per megabyte."""
    if trim := malloc_trim():
        trim(0)


@cache
def malloc_trim() -> Callable[[int], int] | None:
    """Return glibc's `malloc_trim`, None with another C library."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return found
