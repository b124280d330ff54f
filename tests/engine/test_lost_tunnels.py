"""Tunnels that begin after an addon was awaited, and those whose API or client leaves meanwhile."""

import asyncio

import pytest
from mitmproxy.http import HTTPFlow

from moonpalace_addons.store.tasks import ExchangeEnded
from tests.addons.captured import Kept
from tests.engine.harness import engine, read_head
from tests.engine.test_reference_cycles import addons, until_closed

ASK = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %b\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: a\r\n\r\n"
)
AGREE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"


class Slow:
    """Have one hook awaited, until the API, or the client, is gone."""

    def __init__(self, hook: str) -> None:
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        setattr(self, hook, self._wait)

    async def _wait(self, _: HTTPFlow) -> None:
        self.begun.set()
        await self.may_end.wait()


@pytest.mark.parametrize("protocol", [b"websocket", b"foo"])
@pytest.mark.parametrize("hook", ["responseheaders", "response"])
@pytest.mark.parametrize("leaves", ["client", "API"])
def test_a_tunnel_that_is_lost_before_it_begins(leaves: str, hook: str, protocol: bytes) -> None:
    """Its call ends, once, and both connections are closed."""

    async def run() -> None:
        may_leave = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_head(reader)
            writer.write(AGREE % protocol)
            await (may_leave.wait() if leaves == "API" else reader.read())

        slow = Slow(hook)
        ours = addons()
        tasks = next(kept.tasks for each in ours if isinstance(kept := getattr(each, "recorder", None), Kept))
        async with engine(serve, slow, *ours) as running:
            reader, writer = await running.connect()
            writer.write(ASK % protocol)
            await slow.begun.wait()
            (api,) = running.service.connector._data
            may_leave.set()
            if leaves == "client":
                writer.close()
            while leaves == "API" and not (api.is_gone or api._is_paused):  # noqa: ASYNC110
                await asyncio.sleep(0)
            slow.may_end.set()
            if leaves == "API":
                await reader.read()
            await until_closed(running)
        assert sum(isinstance(task, ExchangeEnded) for task in tasks) == 1

    asyncio.run(run())


@pytest.mark.parametrize("hook", ["requestheaders", "request", "responseheaders", "response"])
def test_a_tunnel_after_a_hook_that_was_awaited(hook: str) -> None:
    """What the API and the client send before and after it passes."""

    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_head(reader)
            writer.write(AGREE % b"foo" + b"early ")
            while data := await reader.read(65536):
                writer.write(data.upper())

        slow = Slow(hook)
        async with engine(serve, slow) as running:
            reader, writer = await running.connect()
            writer.write(ASK % b"foo")
            await slow.begun.wait()
            slow.may_end.set()
            assert await read_head(reader) == AGREE % b"foo"
            writer.write(b"late")
            assert await reader.readexactly(10) == b"early LATE"

    asyncio.run(run())


def test_a_tunnel_reads_nothing_before_it_begins() -> None:
    """However much the API sends while an addon is awaited, it waits there, and passes afterwards."""
    sent = b"x" * 30_000_000
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(AGREE % b"foo")
        writers.append(writer)
        await reader.read()

    async def run() -> None:
        slow = Slow("response")
        async with engine(serve, slow) as running:
            reader, writer = await running.connect()
            writer.write(ASK % b"foo")
            await slow.begun.wait()
            writers[0].write(sent)
            for _ in range(1000):
                await asyncio.sleep(0)
            assert writers[0].transport.get_write_buffer_size() > 10_000_000
            slow.may_end.set()
            await read_head(reader)
            assert await reader.readexactly(len(sent)) == sent

    asyncio.run(run())
