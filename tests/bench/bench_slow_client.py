"""The proxy's memory during a long answer to a client that hardly reads."""

import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench.bench_throughput import command, free_port, process
from tests.bench.memory import resident
from tests.bench.paced import chunk
from tests.bench.wanted import at_most

SIZE = 200_000_000
PIECE = 100_000
SECONDS = 10.0
"""Seconds for which the client reads a little from time to time."""
READ_SIZE, PAUSE = 20_000, 0.05
MOST = 60.0
"""Megabytes in addition to those when idle."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer sk-0123456789abcdef\r\n"
    b'Content-Type: application/json\r\nContent-Length: 49\r\n\r\n{"model":"kimi-k2.6","stream":true,"messages":[]}'
)


def serve(port: int) -> None:
    """Answer each connection's first request with events of 200 MB."""
    event = chunk(b"data: " + b"x" * PIECE + b"\n\n")
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                if not connection.recv(65536):
                    continue
                try:
                    connection.sendall(HEAD)
                    for _ in range(SIZE // PIECE):
                        connection.sendall(event)
                    connection.sendall(b"0\r\n\r\n")
                except OSError:
                    continue


def time_slow_client() -> Iterator[str]:
    """Megabytes that the proxy has when idle, and at most while a client reads 200 MB at 0.4 MB a second."""
    with ExitStack() as stack:
        upstream, port = free_port(), free_port()
        home = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(process(upstream, sys.executable, "-m", "tests.bench.bench_slow_client", str(upstream)))
        line = command("mpal start", port, f"http://127.0.0.1:{upstream}")
        pid = stack.enter_context(process(port, *line, home=home))
        time.sleep(1)
        idle = most = resident(pid)
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        client.sendall(REQUEST)
        taken, deadline = 0, time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            taken += len(client.recv(READ_SIZE))
            most = max(most, resident(pid))
            time.sleep(PAUSE)
        yield f"idle {idle:.1f} MB, at most {most:.1f} MB after {taken / 1e6:.1f} MB were read"
        yield f"{most - idle:.1f} MB more {at_most(most - idle, MOST, 'MB')}"


if __name__ == "__main__":
    serve(int(sys.argv[1]))
