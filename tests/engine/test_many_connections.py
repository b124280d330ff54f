"""Very many connections and incomplete requests do not harm other calls."""

import asyncio
import os
import resource

import pytest

from moonpalace_addons.engine.limits import Limits, within_descriptors
from tests.engine.harness import engine, read_head

IS_THOROUGH = bool(os.environ.get("MOONPALACE_TEST_THOROUGH"))
MOST = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
OPEN, HALF = (min(10_000, (MOST - 500) // 2 - 1_000), 1_000) if IS_THOROUGH else (300, 100)
"""Idle and incomplete connections; both ends count against this process's limit of open files."""
WAIT = 600.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request."""
    while await read_head(reader):
        writer.write(OK)


def test_many_connections() -> None:
    """Other calls are answered, all connections are served, and incomplete requests time out."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST, MOST))

    async def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GET)
        assert await reader.readexactly(len(OK)) == OK

    async def run() -> None:
        limits = Limits(
            max_partial_requests=HALF // 2,
            linger_timeout=0.1,
            connect_timeout=WAIT,
            head_timeout=WAIT,
            client_idle_timeout=WAIT,
        )
        async with engine(serve, limits=limits, wait=WAIT) as running:
            idle = [await running.connect() for _ in range(OPEN)]
            half = [await running.connect() for _ in range(HALF)]
            for _, writer in half:
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Len")
            await call(*await running.connect())
            for reader, _ in half[: HALF // 2]:
                assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
            await call(*await running.connect())
            for reader, writer in idle:
                await call(reader, writer)
            assert len(running.service.connections) >= OPEN
            for _, writer in half[HALF // 2 :]:
                writer.write(b"gth: 0\r\n\r\n")
            for reader, _ in half[HALF // 2 :]:
                assert await reader.readexactly(len(OK)) == OK

    asyncio.run(run())


@pytest.mark.parametrize(("soft", "expected"), [(1024, 448), (100, 8), (1_000_000, 20_000)])
def test_connections_never_take_all_descriptors(monkeypatch: pytest.MonkeyPatch, soft: int, expected: int) -> None:
    """Some open files are reserved, whatever clients do."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert within_descriptors(Limits()).max_connections == expected
