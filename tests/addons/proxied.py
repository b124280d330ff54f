"""A mitmproxy with real sockets before a server of a few lines: with our engine, or with its own server."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from mitmproxy.addons.core import Core
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.tls import TlsData
from OpenSSL import SSL

from moonpalace_addons.engine import mode as engine_mode
from moonpalace_addons.mitm.client_connections import engines
from moonpalace_addons.mitm.proxy_server import listen_on_tcp_only, proxyserver

WAIT = 10.0
type Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Trusting:
    """Speak TLS with any upstream."""

    def tls_start_server(self, tls_start: TlsData) -> None:
        """Take the place of mitmproxy's own addon, which makes keys first."""
        tls_start.ssl_conn = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
        tls_start.ssl_conn.set_connect_state()


@asynccontextmanager
async def proxied(
    serve: Served, addon: object, tls: ssl.SSLContext | None = None, *, engine: bool = False
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Give a client's connection through a reverse proxy, perhaps our engine, to a server, which may speak TLS."""

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve_and_close, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    master = Master(Options())
    master.addons.add(Core(), Proxyserver(), NextLayer(), Trusting(), addon)
    name = engine_mode.MoonPalaceMode.type_name if engine else "reverse"
    mode = f"{name}:{'https' if tls else 'http'}://127.0.0.1:{port}"
    listen_on_tcp_only(mode)
    master.options.update(mode=[mode], listen_host="127.0.0.1", listen_port=0)
    master.options.update(connection_strategy="lazy")
    running = asyncio.create_task(master.run())
    try:
        async with asyncio.timeout(WAIT):
            while not any(instance.is_running for instance in proxyserver().servers):  # noqa: ASYNC110
                await asyncio.sleep(0)
            (instance,) = proxyserver().servers
            reader, writer = await asyncio.open_connection(*instance.listen_addrs[0][:2])
            yield reader, writer
            writer.close()
    finally:
        for service in engines():
            service.close()
        await proxyserver().servers.update([])
        master.shutdown()
        await running
        server.close()
        async with asyncio.timeout(WAIT):  # a connection that the proxy leaves open is a failure, not a wait for ever
            await server.wait_closed()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a request and read the head of its answer."""
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"chunked" in await reader.readuntil(b"\r\n\r\n")


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """Read a chunk of an answer, an empty one at its clean end."""
    size = int(await reader.readuntil(b"\r\n"), 16)
    return (await reader.readexactly(size + 2))[:-2]


def framed(framing: str, *pieces: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Return the head, the pieces and the end of an answer."""
    if framing == "chunked":
        head = b"Transfer-Encoding: chunked\r\n"
        return head, [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces], b"0\r\n\r\n"
    length = b"Content-Length: %d\r\n" % sum(map(len, pieces)) if framing == "length" else b""
    return length, list(pieces), b""


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log, without asyncio's complaints about cancelled connections before Python 3.12.2."""
    return [record.getMessage() for record in caplog.records if record.name != "asyncio"]
