"""Identifiers of calls and connections."""

import os
import time
from collections.abc import Iterator

AT_ONCE = 256
"""Identifiers for which the system is asked for random bytes at once: asking takes twice as long as all the rest."""


def _random_digits() -> Iterator[str]:
    while True:
        digits = os.urandom(10 * AT_ONCE).hex()
        for at in range(0, len(digits), 20):
            yield digits[at : at + 20]


_RANDOM = _random_digits()


def ordered_uuid() -> str:
    """Return a random UUID that begins with the time in milliseconds (RFC 9562, version 7). Not thread-safe.

    A store's index of them thus grows at its end: one of random UUIDs changes in another page for nearly every call.
    """
    digits = f"{time.time_ns() // 1_000_000:012x}{next(_RANDOM)}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
