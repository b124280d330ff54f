"""Identify this machine, check whether processes are alive, and create the row of a new run."""

import os
import socket
import sys
import uuid
from pathlib import Path

from moonpalace_addons.store.records.values import Values
from moonpalace_addons.version import __version__


def host_name() -> str:
    """Return a name that is unique to this machine and container.

    Host names alone clash: many machines are called `localhost`, and containers of an image may share a name.
    """
    namespace = Path("/proc/self/ns/pid")
    try:  # Linux: boot id and pid namespace
        machine = f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{namespace.readlink()}"
    except OSError:
        machine = f"{uuid.getnode():012x}"  # a MAC address
    return f"{socket.gethostname()}/{machine}"


def is_other_process(pid: int) -> bool:
    """Return whether `pid` is a live process other than this one; True where that cannot be checked safely."""
    if pid == os.getpid():
        return False  # in containers every proxy may be process 1
    if sys.platform == "win32":
        return True  # signal 0 would terminate the process there
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
