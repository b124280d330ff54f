"""Tell this machine, and which of its processes live."""

import os
import platform
import socket
from pathlib import Path


def host_name() -> str:
    """Return a name for the machine; on Linux also of its process numbering, which containers have to themselves."""
    namespace = Path("/proc/self/ns/pid")
    suffix = f"/{namespace.readlink()}" if platform.system() == "Linux" and namespace.exists() else ""
    return socket.gethostname() + suffix


def is_other_process(pid: int) -> bool:
    """Tell whether `pid` is a living process other than this one; where that cannot be asked safely, assume it."""
    if pid == os.getpid():
        return False  # in a container every proxy may be process 1
    if os.name != "posix":
        return True  # there, signal 0 would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
