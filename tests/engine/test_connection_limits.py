"""Limits of time and number for connections of clients: which are closed or refused, and which go on."""

import asyncio

import pytest
from mitmproxy.connection import Client

from moonpalace_addons.engine import service
from moonpalace_addons.engine.limits import Limits
from tests.engine.harness import Script, engine, read_head, refusal
from tests.engine.talking import GET, OK

QUICK = 0.05
"""Seconds to wait for data that must not arrive."""


def test_an_idle_client_is_closed() -> None:
    """An idle connection is closed after its timeout, one with an incomplete request with an error."""

    async def run() -> None:
        limits = Limits(client_idle_timeout=0.1, head_timeout=0.1, linger_timeout=0.1)
        async with engine(Script([]), limits=limits) as running:
            idle, _ = await running.connect()
            half, writer = await running.connect()
            writer.write(b"GET / HT")
            assert await idle.read() == b""
            assert refusal(await half.read())[0] == 408

    asyncio.run(run())


def test_too_many_connections_are_refused() -> None:
    """A connection above the limit gets a 503 while none has been idle for a while, and existing ones continue."""

    async def run() -> None:
        async with engine(Script([(GET, OK)]), limits=Limits(max_connections=2)) as running:
            first, writer = await running.connect()
            await running.connect()
            await asyncio.sleep(QUICK)
            third, _ = await running.connect()
            assert refusal(await third.read())[0] == 503
            writer.write(GET)
            assert await first.readexactly(len(OK)) == OK

    asyncio.run(run())


def test_an_idle_connection_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit the connection that has been idle longest is closed, and one with a call is not."""
    monkeypatch.setattr(service, "MIN_IDLE_TIME", 0.0)
    asked, answered = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await answered.wait()
        writer.write(OK)

    async def run() -> None:
        async with engine(serve, limits=Limits(max_connections=3)) as running:
            busy, writer = await running.connect()
            (idle, _), (younger, later) = await running.connect(), await running.connect()
            writer.write(GET)
            await asked.wait()
            last, _ = await running.connect()
            assert await idle.read() == b""
            answered.set()
            later.write(GET)
            for reader in (busy, younger):
                assert await reader.readexactly(len(OK)) == OK
            assert not last.at_eof()

    asyncio.run(run())


def test_a_client_that_left_before_it_was_let_in_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is closed already: closing it makes no room."""
    monkeypatch.setattr(service, "MIN_IDLE_TIME", 0.0)
    came, may_enter = asyncio.Event(), asyncio.Event()

    class Door:
        """Let clients wait."""

        async def client_connected(self, _: Client) -> None:
            """Wait."""
            came.set()
            await may_enter.wait()

    async def run() -> None:
        async with engine(Script([(GET, OK)]), Door(), limits=Limits(max_connections=1)) as running:
            _, gone = await running.connect()
            await came.wait()
            gone.transport.abort()
            while running.service.connections:  # noqa: ASYNC110
                await asyncio.sleep(0)
            may_enter.set()
            reader, writer = await running.connect()
            writer.write(GET)
            assert await reader.readexactly(len(OK)) == OK
            await running.connect()
            assert await reader.read() == b""
            assert len(running.service.connections) == 1

    asyncio.run(run())


def test_a_client_that_sends_empty_lines_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a client sends between requests moves it behind those that send nothing; it does not keep its place."""
    monkeypatch.setattr(service, "MIN_IDLE_TIME", 0.01)

    async def run() -> None:
        async with engine(Script([(GET, OK)]), limits=Limits(max_connections=2)) as running:
            noisy, writer = await running.connect()
            silent, _ = await running.connect()
            await asyncio.sleep(QUICK)
            writer.write(b"\r\n")
            await asyncio.sleep(QUICK)
            await running.connect()
            assert await silent.read() == b""
            writer.write(GET)
            assert await noisy.readexactly(len(OK)) == OK

    asyncio.run(run())


def test_too_many_half_sent_requests() -> None:
    """Above the limit of incomplete requests the oldest is timed out, and no complete one."""

    async def run() -> None:
        script = Script([(GET, OK)])
        async with engine(script, limits=Limits(max_partial_requests=2, linger_timeout=0.1)) as running:
            waiting = []
            for _ in range(3):
                reader, writer = await running.connect()
                writer.write(b"GET / HTTP/1.1\r\n")
                await asyncio.sleep(QUICK)
                waiting.append((reader, writer))
            assert refusal(await waiting[0][0].read())[0] == 408
            waiting[1][1].write(b"Host: x\r\n\r\n")
            assert await waiting[1][0].readexactly(len(OK)) == OK

    asyncio.run(run())
