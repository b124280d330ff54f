"""A lock on a whole file that the system takes away when its holder dies."""

import os
import sys

FAR = 2**62
"""Where the locked byte is on Windows, whose locks keep others from reading: past the end of every file."""


def try_lock(descriptor: int) -> bool:
    """Lock an open file against every other opening of it, in this process too; return False if somebody has."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
