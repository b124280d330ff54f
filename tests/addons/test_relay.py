"""Streams relayed in a mitmproxy with real sockets: the same bytes, in order, whatever upstream and the client do."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

import pytest
from mitmproxy.http import HTTPFlow

from moonpalace_addons import relay, upstream
from moonpalace_addons.calls import Call
from tests.addons.proxied import ask, framed, ours, proxied, read_chunk

MEGABYTE = bytes(range(256)) * 4096


class Streams:
    """Relay each answer, with `change` between, and note what comes and what mitmproxy calls."""

    def __init__(self, change: Callable[[bytes], Sequence[bytes]] | None = None) -> None:
        self.change = change
        self.came: list[tuple[bytes, ...]] = []
        self.over: list[str] = []

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Take the place of capture."""
        assert flow.response is not None
        flow.response.stream = self
        self.call = Call(flow, time.monotonic_ns(), [], "", "/")
        relay.relay(flow, self.call)

    def __call__(self, data: bytes) -> Sequence[bytes]:
        """Take the end, and what is not relayed."""
        return self.together((data,) if data else ())

    def together(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Take what is relayed."""
        self.came.append(tuple(pieces))
        return pieces if self.change is None else self.change(b"".join(pieces))

    def response(self, flow: HTTPFlow) -> None:
        """Note a clean end."""
        self.over.append("response")

    def error(self, flow: HTTPFlow) -> None:
        """Note an error."""
        assert flow.error is not None
        self.over.append(flow.error.msg)


async def request(reader: asyncio.StreamReader) -> None:
    """Read a request without a body."""
    await reader.readuntil(b"\r\n\r\n")


def test_chunks_that_come_together_stay_chunks(caplog: pytest.LogCaptureFixture) -> None:
    """The stream is called once for what one read brings, and the client gets the chunks as upstream sent them."""
    streams = Streams()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await request(reader)
            head, pieces, end = framed("chunked", b"first", b"second", b"third")
            writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + b"".join(pieces))
            await asyncio.sleep(0.05)
            writer.write(b"".join(pieces) + end)

    async def run() -> None:
        async with proxied(serve, streams) as (reader, writer):
            for _ in range(2):
                await ask(reader, writer)
                got = [await read_chunk(reader) for _ in range(7)]
                assert got == [b"first", b"second", b"third"] * 2 + [b""]

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert streams.came == [(b"first", b"second", b"third"), (b"first", b"second", b"third"), ()] * 2
    assert streams.over == ["response"] * 2
    assert ours(caplog) == []


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_what_is_changed(caplog: pytest.LogCaptureFixture, framing: str) -> None:
    """Whatever the framing, the client gets what the stream returns: a piece, several, or nothing for now."""
    answers: dict[bytes, Sequence[bytes]] = {b"one": [b"1"], b"two": [b"2", b"zwei"], b"three": [], b"": [b"end"]}
    streams = Streams(lambda data: answers[data])
    sent = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        head, pieces, end = framed(framing, b"one", b"two", b"three")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        for number, piece in enumerate(pieces, 1):
            writer.write(piece)
            while len(streams.came) < number:  # noqa: ASYNC110 - what is waited for is a state, not an event
                await asyncio.sleep(0)
        writer.write(end)

    async def run() -> None:
        async with proxied(serve, streams) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.read()
            assert body == (
                b"1\r\n1\r\n1\r\n2\r\n4\r\nzwei\r\n3\r\nend\r\n0\r\n\r\n" if b"hunked" in head else b"12zweiend"
            )
            sent.set()

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert sent.is_set()
    assert streams.over == ["response"]
    assert ours(caplog) == []


@pytest.mark.parametrize(
    ("framing", "bad", "message"),
    [
        ("chunked", b"", "peer closed connection"),
        ("chunked", b"2\r\nmore\r\n", "does not end where it should"),
        ("chunked", b"nonsense\r\n", "illegal chunk header"),
        ("length", b"", "peer closed connection"),
    ],
)
def test_broken_transfer(caplog: pytest.LogCaptureFixture, framing: str, bad: bytes, message: str) -> None:
    """What came before upstream broke is passed on; then the client's transfer is broken too."""
    streams = Streams()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        head, pieces, _ = framed(framing, b"first", b"never sent")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + pieces[0] + bad)

    async def run() -> None:
        async with proxied(serve, streams) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            body = await reader.read()
            assert b"first" in body
            assert not body.endswith(b"0\r\n\r\n")

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert len(streams.over) == 1
    assert message in streams.over[0]
    assert ours(caplog) == []


def test_answer_that_is_not_streamed_follows(caplog: pytest.LogCaptureFixture) -> None:
    """On a connection that is used again, the next answer goes its own way."""

    class First(Streams):
        def responseheaders(self, flow: HTTPFlow) -> None:
            if flow.request.path == "/streamed":
                super().responseheaders(flow)

        def response(self, flow: HTTPFlow) -> None:
            super().response(flow)
            if flow.request.path == "/":
                assert flow.response is not None
                self.came.append((b"collected", flow.response.content or b""))

    streams = First()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(4):
            await request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            await asyncio.sleep(0.01)
            writer.write(b"1\r\nb\r\n0\r\n\r\n")

    async def run() -> None:
        async with proxied(serve, streams) as (reader, writer):
            for path in (b"/streamed", b"/", b"/streamed", b"/"):
                writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
                await reader.readuntil(b"\r\n\r\n")
                got = b""
                while piece := await read_chunk(reader):
                    got += piece
                assert got == b"ab"

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert streams.came == [(b"a",), (b"b",), (), (b"collected", b"ab")] * 2
    assert ours(caplog) == []


def test_slow_client_slows_upstream_down() -> None:
    """A client that does not read keeps upstream from sending, and gets all of it when it reads."""
    streams = Streams()
    most = 60
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (most * len(MEGABYTE)))
        for _ in range(most):
            writer.write(MEGABYTE)
            await writer.drain()
            sent += 1

    async def run() -> None:
        async with proxied(serve, streams) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.3)
            assert sent < most / 2
            for _ in range(most):
                assert await reader.readexactly(len(MEGABYTE)) == MEGABYTE

    asyncio.run(run())
    assert streams.over == ["response"]


@pytest.mark.parametrize("when", ["before", "during"])
def test_client_that_leaves(when: str) -> None:
    """Upstream is closed when the client goes, though it does not stop sending."""
    streams = Streams()
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while not writer.is_closing():
                writer.write(b"4\r\nmore\r\n")
                await writer.drain()
                await asyncio.sleep(0.001)
        except OSError:
            pass
        closed.set()

    async def run() -> None:
        async with proxied(serve, streams) as (reader, writer):
            await ask(reader, writer)
            if when == "during":
                assert await read_chunk(reader) == b"more"
            writer.close()
            await closed.wait()

    asyncio.run(run())
    assert len(streams.over) == 1
    assert "disconnected" in streams.over[0]


def test_without_the_internals(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where mitmproxy is not as expected, streams pass as mitmproxy passes them, and the log says why."""
    streams = Streams()
    monkeypatch.setattr(upstream, "stream_of", None)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        head, pieces, end = framed("chunked", b"first", b"second")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + b"".join(pieces) + end)

    async def run() -> None:
        async with proxied(serve, streams) as (reader, writer):
            await ask(reader, writer)
            assert [await read_chunk(reader) for _ in range(3)] == [b"first", b"second", b""]

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert ours(caplog) == [relay.LEFT]
    assert streams.came == [(b"first",), (b"second",), ()]
    assert streams.call.warnings == [relay.SLOWER]
