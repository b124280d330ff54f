"""Ending and feeding responses, in a mitmproxy with real sockets."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import pytest
from mitmproxy.addons.core import Core
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.http import HTTPFlow
from mitmproxy.master import Master
from mitmproxy.options import Options

from moonpalace_addons import upstream

CUT = b"cut here"
LATER = b"never passed on"
END = b"the end"
WAIT = 10.0
type Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Cutter:
    """End each response early at the bytes CUT, and note what mitmproxy calls."""

    def __init__(self) -> None:
        self.flow: HTTPFlow | None = None
        self.over: list[str] = []

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Take the place of the adapter."""
        assert flow.response is not None
        self.flow = flow
        ended = False

        def stream(data: bytes) -> Iterable[bytes]:
            nonlocal ended
            if data is upstream.HEARTBEAT:
                return [b"beat"]
            if ended or CUT not in data:
                return [data] if data and not ended else []
            ended = True
            upstream.end_response(flow)
            return [END]

        flow.response.stream = stream
        flow.response.headers.pop("content-length", None)
        flow.response.headers["Transfer-Encoding"] = "chunked"

    def response(self, flow: HTTPFlow) -> None:
        """Close upstream, as the addon does."""
        self.over.append("response")
        upstream.close_upstream(flow)

    def error(self, flow: HTTPFlow) -> None:
        """Note an error."""
        self.over.append("error")


@asynccontextmanager
async def proxied(serve: Served, cutter: Cutter) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Give a client's connection through a reverse proxy to a server."""

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve_and_close, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    master = Master(Options())
    master.addons.add(Core(), Proxyserver(), NextLayer(), cutter)
    master.options.update(mode=[f"reverse:http://127.0.0.1:{port}"], listen_host="127.0.0.1", listen_port=0)
    master.options.update(connection_strategy="lazy")
    running = asyncio.create_task(master.run())
    try:
        async with asyncio.timeout(WAIT):
            while not any(instance.is_running for instance in upstream.proxyserver().servers):  # noqa: ASYNC110
                await asyncio.sleep(0)
            (instance,) = upstream.proxyserver().servers
            reader, writer = await asyncio.open_connection(*instance.listen_addrs[0][:2])
            yield reader, writer
            writer.close()
    finally:
        await upstream.proxyserver().servers.update([])
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
    """Return what was logged; asyncio before Python 3.12.2 complains that the connections left open are cancelled."""
    return [record.getMessage() for record in caplog.records if record.name != "asyncio"]


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_early_end_over_sockets(caplog: pytest.LogCaptureFixture, framing: str, at_once: bool) -> None:
    """Whatever the framing, and even if upstream ends in the same breath: a clean end, and the next call works."""
    cutter = Cutter()
    closed: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head, (first, second, third), end = framed(framing, b"first", CUT, LATER)
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + first)
        await writer.drain()
        writer.write(second + (third + end if at_once else b""))
        if at_once and framing == "close":
            writer.write_eof()
        closed.append(await reader.read())  # returns when the proxy closes

    async def run() -> None:
        async with proxied(serve, cutter) as (reader, writer):
            for _ in range(2):
                await ask(reader, writer)
                got = b""
                while piece := await read_chunk(reader):
                    got += piece
                assert got in (b"first" + END, END)  # the first two may come as one
            while len(closed) < 2:  # noqa: ASYNC110 - what is waited for is a state, not an event
                await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert closed == [b"", b""]
    assert cutter.over == ["response", "response"]
    assert ours(caplog) == []


def test_heartbeats_over_sockets(caplog: pytest.LogCaptureFixture) -> None:
    """While upstream is silent, before its first byte and after, the stream is called with heartbeats."""
    cutter = Cutter()
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        await go_on.wait()
        writer.write(b"answered")

    async def run() -> None:
        async with proxied(serve, cutter) as (reader, writer):
            await ask(reader, writer)
            assert cutter.flow is not None
            for _ in range(2):
                upstream.inject_heartbeat(cutter.flow)
                assert await read_chunk(reader) == b"beat"
            go_on.set()
            assert await read_chunk(reader) == b"answered"
            assert await read_chunk(reader) == b""
            upstream.inject_heartbeat(cutter.flow)

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert ours(caplog) == []


def test_closed_client_sees_a_broken_transfer() -> None:
    """A client that is closed in mid-answer gets neither what was returned with that nor the end of the transfer."""

    class Closer(Cutter):
        def responseheaders(self, flow: HTTPFlow) -> None:
            super().responseheaders(flow)
            assert flow.response is not None

            def stream(data: bytes) -> Iterable[bytes]:
                if data:
                    return [data]
                upstream.close_client(flow)
                return [b"looks whole"]

            flow.response.stream = stream

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")

    async def run() -> None:
        async with proxied(serve, Closer()) as (reader, writer):
            await ask(reader, writer)
            assert await reader.read() in (b"5\r\nfirst\r\n", b"")

    asyncio.run(run())
