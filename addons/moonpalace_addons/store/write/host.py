"""Tell this machine, which of its processes live, and what a new run of this one is."""

import os
import socket
import sys
import uuid
from pathlib import Path

from moonpalace_addons.store.records.values import Values
from moonpalace_addons.version import __version__


def host_name() -> str:
    """Return a name for this machine that no other has, and no other container on it.

    Host names alone clash: many machines are called `localhost`, and images give theirs to all their containers.
    """
    namespace = Path("/proc/self/ns/pid")
    try:  # Linux: which start of the system this is, and which numbering of processes
        machine = f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{namespace.readlink()}"
    except OSError:
        machine = f"{uuid.getnode():012x}"  # the address of a network card
    return f"{socket.gethostname()}/{machine}"


def is_other_process(pid: int) -> bool:
    """Tell whether `pid` is a living process other than this one; where that cannot be asked safely, assume it."""
    if pid == os.getpid():
        return False  # in a container every proxy may be process 1
    if sys.platform == "win32":
        return True  # there, signal 0 would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def new_run() -> Values:
    """Return the row of a new run of this process."""
    return {"id": str(uuid.uuid4()), "host": host_name(), "pid": os.getpid(), "version": __version__}
