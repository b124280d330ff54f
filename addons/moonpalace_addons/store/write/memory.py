"""How much memory calls may take that wait to be stored, and how it is given back to the system."""

import ctypes
import sys
from collections.abc import Callable
from functools import cache

WINDOW = 32_000_000
"""Bytes, about, of calls that are over, of which the proxy does not know that they are safe; more waits on the disk.

The proxy has them to tell them again, and so has the writer: together that is twice as much.
"""

MEMORY = WINDOW // 2
"""Bytes, about, of rows that wait in the writer, from which on they go to a journal."""

LARGE = 16_000_000
"""Bytes that have waited to be stored after which it is worth while."""


def give_back() -> None:
    """Give back free memory, which the GNU C library would keep for this process; takes about 0.1 ms for a megabyte."""
    if trim := malloc_trim():
        trim(0)


@cache
def malloc_trim() -> Callable[[int], int] | None:
    """Return the function of the GNU C library, None of another one."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return found
