"""Identifiers of calls and connections."""

import os
import time


def ordered_uuid() -> str:
    """Return a random UUID that begins with the time in milliseconds (RFC 9562, version 7).

    A store's index of them thus grows at its end: one of random UUIDs changes in another page for nearly every call.
    """
    digits = f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
