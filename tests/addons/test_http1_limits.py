"""Heads, lines of chunks and trailers without end, in a mitmproxy with real sockets."""

import asyncio
import json

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._http1 import Http1Connection

from moonpalace_addons import http1_limits, upstream
from moonpalace_addons.http1_limits import MAX_CHUNKS, MAX_HEAD, TOO_LARGE, TOO_MANY, limit_heads
from moonpalace_addons.trailers import discard_trailers
from tests.addons.proxied import proxied, send_on

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
FILL = b"x" * 4096


@pytest.fixture(autouse=True)
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the limits hold, once more than necessary."""
    monkeypatch.setattr(Http1Connection, "_handle_event", Http1Connection._handle_event)  # what is changed is put back
    monkeypatch.setattr(_http1, "make_body_reader", _http1.make_body_reader)
    discard_trailers()
    limit_heads()
    limit_heads()


class Errors:
    """Note what mitmproxy says of flows."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def error(self, flow: HTTPFlow) -> None:
        """Note it, and answer if that is still to be done."""
        assert flow.error is not None
        self.messages.append(flow.error.msg)
        if flow.request.timestamp_end is None:
            upstream.answer_and_close(flow, 400, b"{}")


@pytest.mark.parametrize(
    ("start", "fill", "message"),
    [
        (b"GET /", FILL, None),
        (POST + b"X-Long: ", FILL, None),
        (POST, b"X-Many: 1\r\n" * 300, None),
        (b"", b"\r\n" * 2000, None),
        (POST + CHUNKED, b"1\r\nx\r\n" * 1000, f"Invalid request: {TOO_MANY}"),
        (POST + CHUNKED + b"1;", FILL, f"Invalid request: {TOO_LARGE}"),
        (
            POST + CHUNKED + b"0\r\nX-Long: ",
            FILL,
            f"Invalid request: {TOO_LARGE}",
        ),
    ],
)
def test_clients(start: bytes, fill: bytes, message: str | None) -> None:
    """A client gets an answer, whatever it goes on sending, and its connection ends."""
    addon = Errors()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError

    async def run() -> bytes:
        async with proxied(serve, addon) as (reader, writer):
            writer.write(start)
            for _ in range(max(10 * MAX_HEAD // len(fill), 6 * MAX_CHUNKS // len(fill) + 1)):
                writer.write(fill)
            await writer.drain()
            return await reader.read()

    got = asyncio.run(run())
    assert addon.messages == ([] if message is None else [message])
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 " if message is None else b"HTTP/1.1 400 ")
    assert message is not None or json.loads(body)["error"]["type"] == "request_too_large"


@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 200 ", OK + b"X-Long: ", OK + CHUNKED + b"1;", OK + CHUNKED + b"0\r\nX-Long: "],
)
def test_upstreams(start: bytes) -> None:
    """The call fails for a reason that is short, and upstream is closed."""
    addon = Errors()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        await send_on(writer, FILL)

    async def run() -> bytes:
        async with proxied(serve, addon) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return await reader.read()

    assert asyncio.run(run()).startswith((b"HTTP/1.1 502 ", b"HTTP/1.1 200 "))
    assert addon.messages == [f"the API sent {TOO_LARGE}"]


def test_a_head_that_breaks_off_is_not_quoted_whole() -> None:
    """What mitmproxy says of it has the beginning."""
    addon = Errors()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"X-Long: " + b"\xff" * (MAX_HEAD - 100))

    async def run() -> bytes:
        async with proxied(serve, addon) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return await reader.read()

    asyncio.run(run())
    (message,) = addon.messages
    assert message.startswith("unexpected server response: b'HTTP/1.1 200 OK")
    assert len(message) < 5 * http1_limits.MAX_QUOTED


def test_heads_below_the_limit_pass() -> None:
    """A head of nearly the limit is read, however it comes."""
    long = b"X-Long: " + b"x" * (MAX_HEAD - 200) + b"\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert long in await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + long)
        await writer.drain()
        writer.write(b"Content-Length: 2\r\n\r\nok")

    async def run() -> bytes:
        async with proxied(serve, Errors()) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + long[:50_000])
            await asyncio.sleep(0)
            writer.write(long[50_000:] + b"\r\n")
            await reader.readuntil(b"Content-Length: 2\r\n\r\n")
            return await reader.readexactly(2)

    assert asyncio.run(run()) == b"ok"
