"""Explain in one line why listening on an address failed."""

import errno
import os

from moonpalace_addons.settings.values import Settings


def cannot_listen(settings: Settings, error: OSError) -> str:
    """Return the explanation."""
    place = f"port {settings.port} of {settings.host}"
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use: give another with --port, or 0 for any free one"
    # Errors of name resolution have their own numbers, below 0.
    is_system_error = error.errno is not None and error.errno > 0
    return f"cannot listen on {place}: {os.strerror(error.errno) if is_system_error and error.errno else error}"
