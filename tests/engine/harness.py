"""Test harness: the engine in front of a scripted upstream, in one process and on real sockets."""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master
from mitmproxy.options import Options

from moonpalace_addons.engine.limits import Limits
from moonpalace_addons.engine.service import Service

WAIT = 20.0
"""Timeout of waits in seconds; long, as only a failing test waits that long."""

type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Engine:
    """A running engine."""

    service: Service
    port: int
    upstream_port: int
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self, tls: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a client's connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)
        self.writers.append(writer)
        return reader, writer


@asynccontextmanager
async def engine(
    serve: Serve,
    *addons: object,
    limits: Limits | None = None,
    wait: float = WAIT,
    tls: ssl.SSLContext | None = None,
    api_tls: ssl.SSLContext | None = None,
    **options: Any,
) -> AsyncIterator[Engine]:
    """Provide an engine in front of a scripted server; `tls` is for its clients, `api_tls` for that server."""

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    upstream = await asyncio.start_server(serve_and_close, "127.0.0.1", 0, ssl=api_tls)
    upstream_port = upstream.sockets[0].getsockname()[1]
    with shared_master(addons, options) as master:
        scheme = "https" if api_tls is not None else "http"
        service = Service(master, f"{scheme}://127.0.0.1:{upstream_port}", limits or Limits(linger_timeout=0.2))
        server = await asyncio.get_running_loop().create_server(
            service.protocol(), "127.0.0.1", 0, backlog=1000, ssl=tls
        )
        service.start()
        running = Engine(service, server.sockets[0].getsockname()[1], upstream_port)
        try:
            async with asyncio.timeout(wait):
                yield running
        finally:
            for writer in running.writers:
                writer.close()
            server.close()
            upstream.close()
            service.close()
            await asyncio.sleep(0)


def reset(writer: asyncio.StreamWriter) -> None:
    """Reset a connection."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


_MASTERS: list[Master] = []


@contextmanager
def shared_master(addons: Sequence[object], options: dict[str, Any]) -> Iterator[Master]:
    """Provide a master with these addons and options; creating options is slower than most tests."""
    if not _MASTERS:
        _MASTERS.append(Master(Options()))
        _MASTERS[0].addons.add(Proxyserver())
    (master,) = _MASTERS
    ctx.master, ctx.options = master, master.options  # another test may have made a master of its own
    master.addons.add(*addons)
    before = {name: getattr(master.options, name) for name in options}
    master.options.update(**options)
    try:
        yield master
    finally:
        master.options.update(**before)
        for addon in addons:
            master.addons.remove(addon)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Read until an empty line."""
    return await reader.readuntil(b"\r\n\r\n")


def refusal(answer: bytes) -> tuple[int, str]:
    """Return status and message of the engine's own error answer, checked to be in the API's format."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert fields["Content-Type"] == "application/json"
    assert fields["Connection"] == "close"
    assert int(fields["Content-Length"]) == len(body)
    error = json.loads(body)["error"]
    assert error.keys() == {"message", "type"}
    return int(lines[0].split(" ")[1]), error["message"]


class Script:
    """An upstream that expects requests byte by byte, and answers each; an answer of None closes the connection."""

    def __init__(self, exchanges: Sequence[tuple[bytes, bytes | None]]) -> None:
        self.exchanges = list(exchanges)
        self.asked: list[bytes] = []
        self.surplus = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        while self.exchanges:
            first = await reader.readexactly(1)
            expected, answer = self.exchanges.pop(0)
            asked = first + await reader.readexactly(len(expected) - 1)
            self.asked.append(asked)
            if answer is None:
                return
            closes = answer.endswith(CLOSE)
            writer.write(answer.removesuffix(CLOSE))
            if closes:
                return
        self.surplus += await reader.read()


CLOSE = b"<close>"
"""Suffix of an answer after which the upstream closes its connection."""
