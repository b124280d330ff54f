"""Memory limits for calls that wait to be stored, and returning free memory to the system."""

import ctypes
import sys
from collections.abc import Callable
from functools import cache

WINDOW_SIZE = 32_000_000
"""Approximate bytes of ended calls that the writer has not confirmed; more is spooled to disk.

Both the proxy, for replay, and the writer hold them, so the total is twice as much.
"""

MEMORY_LIMIT = WINDOW_SIZE // 2
"""Approximate bytes of waiting rows in the writer above which they are written to a journal."""

TRIM_THRESHOLD = 16_000_000
"""Bytes that have waited to be stored above which trimming pays."""


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
