"""Say in one line why an address cannot be listened on."""

import errno
import os

from moonpalace_addons.settings.values import Settings


def cannot_listen(settings: Settings, error: OSError) -> str:
    """Return the line."""
    place = f"port {settings.port} of {settings.host}"
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use: give another with --port, or 0 for any free one"
    # Of a name that cannot be resolved the number is one of its own, below 0.
    known = error.errno is not None and error.errno > 0
    return f"cannot listen on {place}: {os.strerror(error.errno) if known and error.errno else error}"
