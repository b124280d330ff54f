"""Servers whose answers are raw bytes, which no HTTP library would send."""

import socket
import threading
from contextlib import suppress
from typing import Self

PATIENCE = 60.0
"""Seconds to wait for the end of a server."""


class SocketServer:
    """A server that runs during its block, and serves one connection at a time."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE)

    def serve(self, connection: socket.socket) -> None:
        """Serve a connection, which is closed afterwards."""
        raise NotImplementedError

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                self.accepted(self._socket.accept()[0])

    def accepted(self, connection: socket.socket) -> None:
        """Serve a new connection before the next."""
        with connection, suppress(OSError):
            self.serve(connection)


class ParallelServer(SocketServer):
    """A server that serves its connections concurrently."""

    def accepted(self, connection: socket.socket) -> None:
        """Serve a new connection in a thread."""
        threading.Thread(target=super().accepted, args=(connection,), daemon=True).start()


def read_request(connection: socket.socket) -> tuple[str, dict[str, str], bytes]:
    """Return the first line of a request, its headers by their lower-case names, and its body."""
    reader = connection.makefile("rb")
    line = reader.readline().decode().strip()
    headers = dict(field.decode().strip().partition(": ")[::2] for field in iter(reader.readline, b"\r\n"))
    headers = {name.lower(): value for name, value in headers.items()}
    return line, headers, reader.read(int(headers.get("content-length", 0)))


def relay(one: socket.socket, other: socket.socket) -> None:
    """Forward bytes in both directions until both sides have ended."""
    back = threading.Thread(target=pump, args=(other, one), daemon=True)
    back.start()
    pump(one, other)
    back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Forward bytes and their end."""
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
