"""Clients that leave, limits, and what fails in the midst of a connection."""

import asyncio
import errno
import socket
from contextlib import suppress

import pytest
from mitmproxy.http import HTTPFlow

from tests.engine.harness import CLOSE, Script, engine, read_head
from tests.engine.talking import ALL, GET, OK, Noting, get, text_answer

QUICK = 0.05
"""Seconds to wait for data that must not arrive."""


class Streaming(Noting):
    """Stream all answers."""

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Have the answer streamed."""
        super().responseheaders(flow)
        assert flow.response is not None
        flow.response.stream = True


@pytest.mark.parametrize("sent", [b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"])
def test_a_client_that_leaves_in_its_request(sent: bytes) -> None:
    """An incomplete request is not forwarded; if its head was complete, the hook `error` is called."""
    noting = Noting()

    async def run() -> None:
        async with engine(Script([]), noting) as running:
            reader, writer = await running.connect()
            writer.write(sent)
            writer.write_eof()
            assert await reader.read() == b""

    asyncio.run(run())
    assert noting.hooks == (["requestheaders", "error: Client disconnected."] if b"POST" in sent else [])


@pytest.mark.parametrize("addon", [Noting, Streaming])
def test_a_half_closed_client_is_answered(addon: type[Noting]) -> None:
    """A client that closes its sending side after its request gets the complete answer, then the end."""
    noting = addon()
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await asyncio.sleep(0.2)  # longer than it takes to find out whether a client has left
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await asyncio.sleep(QUICK)
        writer.write(b"cd")

    async def run() -> None:
        async with engine(serve, noting) as running:
            reader, writer = await running.connect()
            writer.write(GET)
            writer.write_eof()
            await asked.wait()
            got = await reader.read()
            assert got.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").endswith(b"\r\n\r\nabcd")

    asyncio.run(run())
    assert noting.hooks == ALL


def test_a_client_that_leaves_while_it_waits_is_noticed() -> None:
    """If the client disconnects, the API's connection is closed soon, even before any answer."""
    noting = Noting()
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        with suppress(ConnectionError):
            await reader.read()
        closed.set()

    asked = asyncio.Event()

    async def run() -> None:
        async with engine(serve, noting) as running:
            _, writer = await running.connect()
            writer.write(GET)
            await asked.wait()
            writer.close()
            await asyncio.wait_for(closed.wait(), 1)

    asyncio.run(run())
    assert noting.hooks == ["requestheaders", "request", "error: Client disconnected."]


def test_a_client_that_leaves_in_mid_stream_is_noticed() -> None:
    """A client that closes during an answer has disconnected, even if the API is silent."""
    noting = Streaming()
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        with suppress(ConnectionError):
            await reader.read()
        closed.set()

    async def run() -> None:
        async with engine(serve, noting) as running:
            reader, writer = await running.connect()
            writer.write(GET)
            await reader.readuntil(b"hi\r\n")
            writer.close()
            await asyncio.wait_for(closed.wait(), 4)

    asyncio.run(run())
    assert noting.hooks == ["requestheaders", "request", "responseheaders", "error: Client disconnected."]


def test_tls_on_a_plain_port(caplog: pytest.LogCaptureFixture) -> None:
    """A TLS client on a plain port is disconnected, and the log names the remedy."""

    async def run() -> None:
        async with engine(Script([])) as running:
            reader, writer = await running.connect()
            writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100))
            with suppress(ConnectionResetError):
                assert await reader.read() == b""

    asyncio.run(run())
    assert [record.getMessage() for record in caplog.records if "http:// in its base_url" in record.getMessage()]


def test_a_refused_client_that_has_reset_its_connection(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that disconnects before its refusal is sent does not log an error."""

    def shut_down(transport: object) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr("asyncio.selector_events._SelectorSocketTransport.write_eof", shut_down)

    async def run() -> None:
        async with engine(Script([(get("/a"), text_answer("/a"))])) as running:
            reader, writer = await running.connect()
            writer.write(get("/a") + b"no request\r\n\r\n")
            with suppress(ConnectionResetError):
                await reader.read()

    asyncio.run(run())
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


class Failing:
    """Raise in a hook, or in a stream."""

    def __init__(self, where: str) -> None:
        self.where = where

    def request(self, flow: HTTPFlow) -> None:
        """Fail."""
        if self.where == "hook":
            raise ValueError("a fault")

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Have the answer streamed through what fails."""
        if self.where == "stream" and flow.response is not None:
            flow.response.stream = self.fail

    def fail(self, data: bytes) -> bytes:
        """Fail."""
        raise ValueError("a fault")


def test_a_hook_that_fails_is_logged_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """After an addon's exception the call continues, and the next addon is called."""
    noting = Noting()

    async def run() -> None:
        async with engine(Script([(GET, OK)]), Failing("hook"), noting) as running:
            reader, writer = await running.connect()
            writer.write(GET)
            assert await reader.readexactly(len(OK)) == OK

    asyncio.run(run())
    assert noting.hooks == ALL
    assert len(caplog.records) == 1


def test_a_stream_that_fails_breaks_the_transfer(caplog: pytest.LogCaptureFixture) -> None:
    """After an exception in a stream the client sees an incomplete transfer; other calls continue."""
    noting = Noting()

    async def run() -> None:
        async with engine(Script([(GET, OK), (GET, OK)]), Failing("stream"), noting) as running:
            reader, writer = await running.connect()
            writer.write(GET)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            assert (b"Content-Length: 2" in head, body) == (True, b"")

    asyncio.run(run())
    assert noting.hooks[-1].startswith("error: ")
    assert len(caplog.records) == 1


def test_a_kept_connection_that_is_closed_is_replaced() -> None:
    """A request on a pooled connection that the API has closed is resent on a new one."""
    script = Script([(GET, OK), (GET, None), (GET, OK)])

    async def run() -> None:
        async with engine(script) as running:
            reader, writer = await running.connect()
            for _ in range(2):
                writer.write(GET)
                assert await reader.readexactly(len(OK)) == OK

    asyncio.run(run())
    assert len(script.asked) == 3


def test_no_request_is_sent_twice_otherwise() -> None:
    """A new connection that is closed before an answer is an error, and so is a pooled one after its first byte."""
    noting = Noting()
    script = Script([(GET, None), (GET, OK), (GET, b"H" + CLOSE)])

    async def run() -> None:
        async with engine(script, noting) as running:
            for status in (502, 200, 502):
                reader, writer = await running.connect()
                writer.write(GET)
                assert (await read_head(reader)).startswith(b"HTTP/1.1 %d" % status)

    asyncio.run(run())
    assert len(script.asked) == 3
    assert [hook for hook in noting.hooks if hook.startswith("error")] == [
        "error: the API closed the connection before it answered",
        "error: the API closed the connection before it answered",
    ]


def test_flat_memory() -> None:
    """A client that does not read pauses the API, and gets the complete answer in the end."""
    size = 40_000_000
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"a" * 100_000)
            sent += 100_000
            await writer.drain()

    async def run() -> None:
        async with engine(serve, Streaming()) as running:
            reader, writer = await running.connect()
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            writer.write(GET)
            await read_head(reader)
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(QUICK * 2)
            assert sent < size / 2
            (client,) = running.service.connections
            assert client.get_write_buffer_size() < 1_000_000
            got = 0
            while got < size:
                got += len(await reader.read(1_000_000))
            assert got == size

    asyncio.run(run())
