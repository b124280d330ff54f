"""Sockets of our own servers, and why one could not be opened."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moonpalace_addons.settings.values import Settings

BACKLOG = 1024  # connections that may wait at once


def listening(host: str, port: int) -> list[socket.socket]:
    """Return a socket for each address of the host, all on one port, or raise `OSError`.

    Tornado's own `bind_sockets` leaves a socket open when the port is in use.
    """
    sockets: list[socket.socket] = []
    try:
        for family, *_rest, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            target = (address[0], sockets[0].getsockname()[1] if sockets else port)
            sockets.append(socket.create_server(target, family=family, backlog=BACKLOG))
            sockets[-1].setblocking(False)
    except BaseException:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def cannot_listen(settings: Settings, error: OSError) -> str:
    """Return in one line why listening on the configured address failed."""
    place = f"port {settings.port} of {settings.host}"
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use: give another with --port, or 0 for any free one"
    # Errors of name resolution have their own numbers, below 0.
    is_system_error = error.errno is not None and error.errno > 0
    return f"cannot listen on {place}: {os.strerror(error.errno) if is_system_error and error.errno else error}"
