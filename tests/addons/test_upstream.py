"""What is done with mitmproxy's internals; the end-to-end tests show the same over real sockets."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import pytest
from mitmproxy.addons.core import Core
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.connection import Connection
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons, tflow, tutils

from moonpalace_addons import upstream


class Writer:
    """The client's side of a socket."""

    def __init__(self) -> None:
        self.sent = b""
        self.closing = False

    def write(self, data: bytes) -> None:
        """Keep what is sent."""
        self.sent += data

    def is_closing(self) -> bool:
        """Tell whether it is closed."""
        return self.closing


class Handler:
    """What mitmproxy has for a client's connection."""

    def __init__(self, flow: HTTPFlow) -> None:
        self.writer = Writer()
        self.transports = {flow.client_conn: SimpleNamespace(writer=self.writer)}
        self.timeout_watchdog = SimpleNamespace(last_activity=12.5)
        self.layer: object = None
        self.closed: list[Connection] = []

    def close_connection(self, connection: Connection) -> None:
        """Note what is closed."""
        self.closed.append(connection)


@pytest.fixture
def context() -> Iterator[taddons.context]:
    """Give a mitmproxy with its proxy server."""
    with taddons.context(Proxyserver()) as context:
        yield context


@pytest.fixture
def flow() -> HTTPFlow:
    """Give a flow."""
    return tflow.tflow()


@pytest.fixture
def handler(context: taddons.context, flow: HTTPFlow) -> Handler:
    """Give the connection of the flow's client."""
    handler = Handler(flow)
    upstream.proxyserver().connections[flow.client_conn.id] = cast(ProxyConnectionHandler, handler)
    return handler


@pytest.mark.parametrize(
    ("method", "status", "head"),
    [
        ("POST", 502, b"HTTP/1.1 502 Bad Gateway\r\n"),
        ("GET", 504, b"HTTP/1.1 504 Gateway Timeout\r\n"),
        ("HEAD", 502, b"HTTP/1.1 502 Bad Gateway\r\n"),
    ],
)
def test_answer(handler: Handler, flow: HTTPFlow, method: str, status: int, head: bytes) -> None:
    """The client gets a whole JSON response (to a HEAD its head alone), then its connection closes."""
    flow.request.method = method
    body = upstream.error_body("月", "upstream_refused")
    assert upstream.answer_and_close(flow, status, body)
    assert handler.writer.sent == (
        head
        + b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        + (b"" if method == "HEAD" else body)
    )
    assert handler.closed == [flow.client_conn]
    assert flow.error is not None
    assert flow.error.msg == flow.error.KILLED_MESSAGE


def test_no_answer_for_a_client_that_is_gone(context: taddons.context, flow: HTTPFlow) -> None:
    """Without a connection there is nobody to answer, and nothing fails."""
    assert not upstream.answer_and_close(flow, 502, b"{}")
    upstream.close_client(flow)
    assert upstream.last_activity(flow) is None
    assert upstream.partial_body(flow) == b""


@pytest.mark.parametrize("reason", ["closing", "no writer", "no transport", "tls"])
def test_no_answer_where_it_cannot_be_read(handler: Handler, flow: HTTPFlow, reason: str) -> None:
    """Nothing is written to a closing connection, nor unencrypted into one with TLS."""
    handler.writer.closing = reason == "closing"
    flow.client_conn.tls = reason == "tls"
    if reason == "no writer":
        handler.transports[flow.client_conn].writer = None
    if reason == "no transport":
        handler.transports.clear()
    assert not upstream.answer_and_close(flow, 502, b"{}")
    assert (handler.writer.sent, handler.closed) == (b"", [])


def test_close_client(handler: Handler, flow: HTTPFlow) -> None:
    """Closing the client writes nothing."""
    upstream.close_client(flow)
    assert (handler.writer.sent, handler.closed) == (b"", [flow.client_conn])


def test_last_activity(handler: Handler, flow: HTTPFlow) -> None:
    """The time of the last byte is the connection's."""
    assert upstream.last_activity(flow) == 12.5


def test_partial_body(handler: Handler, flow: HTTPFlow, context: taddons.context) -> None:
    """What has come of a held answer is found below whatever layers lie above, and only that flow's."""
    http = HttpLayer(Context(flow.client_conn, context.options), HTTPMode.transparent)
    other = tflow.tflow()
    http.streams = {
        1: SimpleNamespace(flow=other, response_body_buf=bytearray(b"another's")),  # type: ignore[dict-item]
        3: SimpleNamespace(flow=flow, response_body_buf=bytearray(b'{"id":')),  # type: ignore[dict-item]
    }
    handler.layer = SimpleNamespace(child_layer=SimpleNamespace(layer=http))
    assert upstream.partial_body(flow) == b'{"id":'
    assert upstream.partial_body(other) == b""


def test_error_body() -> None:
    """An error has the API's shape, Chinese in it stays readable."""
    body = upstream.error_body('a "月"', "server_error")
    assert json.loads(body) == {"error": {"message": 'a "月"', "type": "server_error"}}
    assert "月".encode() in body


def test_was_set(context: taddons.context) -> None:
    """An option counts as set once somebody sets it, also to its default; one that does not exist does not."""
    assert not upstream.was_set("http2")
    context.options.update(http2=True)
    assert upstream.was_set("http2")
    assert not upstream.was_set("no_such_option")


@pytest.mark.parametrize(
    ("mode", "before", "after"),
    [("reverse:https://tcp.example", "both", "tcp"), ("reverse:http://tcp.example", "tcp", "tcp")],
)
def test_listen_on_tcp_only(mode: str, before: str, after: str) -> None:
    """The proxy server, which parses the same text, finds a mode without UDP."""
    assert ProxyMode.parse(mode).transport_protocol == before
    upstream.listen_on_tcp_only(mode)
    assert ProxyMode.parse(mode).transport_protocol == after


# ---- ending and feeding a response --------------------------------------------------------------------------------


def test_close_upstream(handler: Handler, flow: HTTPFlow) -> None:
    """The connection to upstream is closed while there is one; one that is gone already is no fault."""
    upstream.close_upstream(flow)
    assert handler.closed == []
    handler.transports[flow.server_conn] = SimpleNamespace(writer=Writer())  # type: ignore[index]
    upstream.close_upstream(flow)
    assert handler.closed == [flow.server_conn]


def test_close_upstream_of_a_client_that_is_gone(context: taddons.context, flow: HTTPFlow) -> None:
    """With the client's connection went that to its upstream."""
    upstream.close_upstream(flow)
    assert flow.server_conn.id not in upstream.proxyserver().connections


@pytest.mark.parametrize("reason", ["nothing", "ended", "broken", "gone"])
def test_is_over(handler: Handler, flow: HTTPFlow, reason: str) -> None:
    """A response is over once it has ended or broken, or when its client is gone."""
    flow.response = tutils.tresp()
    flow.response.timestamp_end = 1.0 if reason == "ended" else None
    flow.error = Error("reset") if reason == "broken" else None
    if reason == "gone":
        upstream.proxyserver().connections.clear()
    assert upstream.is_over(flow) is (reason != "nothing")


@pytest.mark.parametrize("over", [False, True])
def test_response_that_cannot_be_ended_early(
    handler: Handler, flow: HTTPFlow, caplog: pytest.LogCaptureFixture, over: bool
) -> None:
    """Where mitmproxy has no such response the client is closed and the log says why, unless it is over anyway."""
    flow.response = tutils.tresp()
    flow.response.timestamp_end = 1.0 if over else None

    async def run() -> None:
        upstream.end_response(flow)
        assert handler.closed == []  # what the stream returns now is still to be sent
        await asyncio.sleep(0)

    asyncio.run(run())
    assert handler.closed == ([] if over else [flow.client_conn])
    assert [record.levelno for record in caplog.records] == ([] if over else [logging.ERROR])
    assert flow.metadata == {upstream.ENDED_EARLY: True}


def test_no_heartbeat_into_what_is_over(handler: Handler, flow: HTTPFlow) -> None:
    """A response that is over gets no heartbeat; one that mitmproxy does not know is a fault."""
    flow.response = tutils.tresp()
    flow.response.timestamp_end = 1.0
    upstream.inject_heartbeat(flow)
    flow.response.timestamp_end = None
    with pytest.raises(ValueError, match="no such response"):
        upstream.inject_heartbeat(flow)


# ---- over real sockets --------------------------------------------------------------------------------------------

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
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    master = Master(Options())
    master.addons.add(Core(), Proxyserver(), NextLayer(), TlsConfig(), cutter)
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
        master.shutdown()
        await running
        server.close()


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
        writer.close()

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
    assert caplog.records == []


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
    assert caplog.records == []


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
