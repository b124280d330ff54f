"""Ending responses and sending heartbeats, over real sockets."""

import asyncio
import logging
from collections.abc import Iterable

import pytest
from mitmproxy.http import HTTPFlow, Request

from moonpalace_addons.mitm import flow_control, own_requests
from moonpalace_addons.mitm.proxy_server import proxyserver
from tests.addons.proxied import ask, framed, ours, proxied, read_chunk

CUT = b"cut here"
LATER = b"never passed on"
END = b"the end"


class Cutter:
    """End each response early at the bytes CUT, and record mitmproxy's calls."""

    def __init__(self) -> None:
        self.flow: HTTPFlow | None = None
        self.over: list[str] = []

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Act as the adapter does."""
        assert flow.response is not None
        self.flow = flow
        ended = False

        def stream(data: bytes) -> Iterable[bytes]:
            nonlocal ended
            if data is flow_control.HEARTBEAT:
                return [b"beat"]
            if ended or CUT not in data:
                return [data] if data and not ended else []
            ended = True
            flow_control.end_response(flow)
            return [END]

        flow.response.stream = stream
        flow.response.headers.pop("content-length", None)
        flow.response.headers["Transfer-Encoding"] = "chunked"

    def response(self, flow: HTTPFlow) -> None:
        """Close upstream, as the addon does."""
        self.over.append("response")
        flow_control.close_upstream(flow)

    def error(self, flow: HTTPFlow) -> None:
        """Note an error."""
        self.over.append("error")


class Silent:
    """Do nothing."""


@pytest.fixture(params=[True, False], ids=["engine", "mitmproxy"])
def engine(request: pytest.FixtureRequest) -> bool:
    """Say whether our engine serves."""
    return bool(request.param)


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_early_end_over_sockets(caplog: pytest.LogCaptureFixture, engine: bool, framing: str, at_once: bool) -> None:
    """With any framing, and even if upstream ends at the same time: a clean end, and upstream is closed.

    On our engine the client's connection is used for the next call; mitmproxy's server may have closed it.
    """
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
        async with proxied(serve, cutter, engine=engine) as (reader, writer):
            for _ in range(2 if engine else 1):
                await ask(reader, writer)
                got = b""
                while piece := await read_chunk(reader):
                    got += piece
                assert got in (b"first" + END, END)  # the first two may come as one
            while len(closed) < (2 if engine else 1):  # noqa: ASYNC110 - what is waited for is a state, not an event
                await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert set(closed) == {b""}
    assert set(cutter.over) <= {"response"} if engine else len(cutter.over) == 1
    assert ours(caplog) == []


def test_heartbeats_over_sockets(caplog: pytest.LogCaptureFixture) -> None:
    """While upstream is silent, before its first byte and afterwards, our engine calls the stream with heartbeats."""
    cutter = Cutter()
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        await go_on.wait()
        writer.write(b"answered")

    async def run() -> None:
        async with proxied(serve, cutter, engine=True) as (reader, writer):
            await ask(reader, writer)
            assert cutter.flow is not None
            for _ in range(2):
                flow_control.inject_heartbeat(cutter.flow)
                assert await read_chunk(reader) == b"beat"
            go_on.set()
            assert await read_chunk(reader) == b"answered"
            assert await read_chunk(reader) == b""
            flow_control.inject_heartbeat(cutter.flow)

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert ours(caplog) == []


def test_heartbeat_before_an_answer_that_is_there(caplog: pytest.LogCaptureFixture) -> None:
    """While a hook holds a complete answer, there is no heartbeat and no exception."""

    class Slow(Cutter):
        async def responseheaders(self, flow: HTTPFlow) -> None:  # type: ignore[override]
            super().responseheaders(flow)
            await asyncio.sleep(0.01)
            flow_control.inject_heartbeat(flow)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nanswered")
        await reader.read()

    async def run() -> None:
        async with proxied(serve, Slow(), engine=True) as (reader, writer):
            await ask(reader, writer)
            assert [await read_chunk(reader) for _ in range(2)] == [b"answered", b""]

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert ours(caplog) == []


def test_closed_client_sees_a_broken_transfer(engine: bool) -> None:
    """A client disconnected during an answer gets neither the data returned then nor the end of the transfer."""

    class Closer(Cutter):
        def responseheaders(self, flow: HTTPFlow) -> None:
            super().responseheaders(flow)
            assert flow.response is not None

            def stream(data: bytes) -> Iterable[bytes]:
                if data:
                    return [data]
                flow_control.close_client(flow)
                return [b"looks whole"]

            flow.response.stream = stream

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")

    async def run() -> None:
        async with proxied(serve, Closer(), engine=engine) as (reader, writer):
            await ask(reader, writer)
            assert await reader.read() in (b"5\r\nfirst\r\n", b"")

    asyncio.run(run())


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_own_requests_have_an_end(monkeypatch: pytest.MonkeyPatch, framing: str) -> None:
    """The answer to our own request is complete, or an error if it is too large; its connection is then closed."""
    monkeypatch.setattr(own_requests, "MAX_ANSWER_SIZE", 100_000)
    left: list[bool] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        large = b"large" in await reader.readuntil(b"\r\n\r\n")
        head, pieces, end = framed(framing, *[b"x" * 50_000] * (1000 if large else 1))
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        try:
            for piece in (*pieces, end):
                writer.write(piece)
                await writer.drain()
            left.append(False)
        except ConnectionError:
            left.append(True)

    async def run() -> None:
        async with proxied(serve, Silent()):
            (instance,) = proxyserver().servers
            address = instance.mode.full_spec.removeprefix("reverse:")
            small = await own_requests.fetch(Request.make("GET", f"{address}/small"))
            assert small.response is not None
            assert small.response.content == b"x" * 50_000
            assert small.error is None
            large = await own_requests.fetch(Request.make("GET", f"{address}/large"))
            assert large.error is not None
            assert "100000" in large.error.msg
            while len(left) < 2:  # noqa: ASYNC110 - what is waited for is a state, not an event
                await asyncio.sleep(0)

    asyncio.run(run())
    assert left == [False, True]
