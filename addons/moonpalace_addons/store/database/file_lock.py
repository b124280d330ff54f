"""A file lock that the operating system releases when its holder dies."""

import os
import sys

LOCK_OFFSET = 2**62
"""The locked byte on Windows: past the end of every file, because locks there also block reading."""


def try_lock(descriptor: int) -> bool:
    """Lock an open file, also against other descriptors of this process; return False if it is locked already."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, LOCK_OFFSET, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
