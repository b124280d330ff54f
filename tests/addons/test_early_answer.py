"""Answers to requests that are still being sent, in a mitmproxy with real sockets."""

import asyncio
from collections.abc import Callable

import pytest
from mitmproxy.http import HTTPFlow, Response

from moonpalace_addons import lingering, upstream
from moonpalace_addons.early_answer import answer_early
from tests.addons.proxied import proxied, send_on

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n"
BLOCK = b"x" * 1_000_000
REFUSAL = b"go away"


class Refusing:
    """Answer all requests at their head."""

    def __init__(self) -> None:
        self.flows: list[HTTPFlow] = []
        self.answered: list[HTTPFlow] = []

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Do it."""
        self.flows.append(flow)
        flow.response = Response.make(401, REFUSAL)
        answer_early(flow)

    def response(self, flow: HTTPFlow) -> None:
        """Note that others see the answer too."""
        self.answered.append(flow)


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be an upstream that nobody should have asked."""
    raise AssertionError


def run(client: Callable[[asyncio.StreamReader, asyncio.StreamWriter, Refusing], object]) -> Refusing:
    """Run a client of a proxy that refuses."""

    async def run_all() -> Refusing:
        addon = Refusing()
        async with proxied(never, addon) as (reader, writer):
            await client(reader, writer, addon)  # type: ignore[misc]
        return addon

    return asyncio.run(run_all())


def test_the_answer_comes_while_the_request_is_being_sent() -> None:
    """It is there at once, says that the connection ends, and is followed by the end."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Refusing) -> None:
        writer.write(HEAD)
        got = await reader.read()
        assert got.startswith(b"HTTP/1.1 401 ")
        assert b"\r\nConnection: close\r\n" in got
        assert got.endswith(b"\r\n\r\n" + REFUSAL)

    addon = run(client)
    assert addon.answered == addon.flows


def test_a_client_that_goes_on_sending_gets_it_too() -> None:
    """What it still sends is thrown away, instead of a reset of the connection that would take the answer with it."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, addon: Refusing) -> None:
        writer.write(HEAD)
        for _ in range(50):
            writer.write(BLOCK)
            await writer.drain()
        assert (await reader.read()).endswith(REFUSAL)
        assert addon.flows[0].request.raw_content is None
        assert upstream.stream_of(addon.flows[0]) is None

    run(client)


def test_a_client_that_never_stops_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the connection is reset."""
    monkeypatch.setattr(lingering, "LINGER", 0.05)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Refusing) -> None:
        writer.write(HEAD)
        await send_on(writer, BLOCK)

    run(client)


def test_head_gets_no_body() -> None:
    """The answer to HEAD is a head."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Refusing) -> None:
        writer.write(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\n")

    run(client)
