"""Sockets of our own servers."""

from __future__ import annotations

import socket

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
