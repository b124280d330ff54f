"""The first address of a host that answers is used (Happy Eyeballs)."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from moonpalace_addons.engine import dialing
from moonpalace_addons.engine.dialing import Address, dial, interleave

SILENT = ("192.0.2.1", 1)
"""An address that never answers: connecting to it is made to wait."""


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return int(closed.getsockname()[1])


async def dialed(monkeypatch: pytest.MonkeyPatch, found: Sequence[tuple[str, int]]) -> tuple[object, int]:
    """Dial a host with these addresses; return the connected one, and the number of pending attempts."""
    under_way: list[object] = []
    connect = dialing._connect

    async def addresses(host: str, port: int) -> list[Address]:
        return [(socket.AF_INET, address) for address in found]

    async def connecting(family: socket.AddressFamily, address: tuple[object, ...], local: object) -> socket.socket:
        under_way.append(address)
        try:
            if address == SILENT:
                await asyncio.Event().wait()
            return await connect(family, address, None)
        finally:
            under_way.remove(address)

    monkeypatch.setattr(dialing, "addresses", addresses)
    monkeypatch.setattr(dialing, "_connect", connecting)
    with await dial("api.example", 1) as connected:
        return connected.getpeername(), len(under_way)


@pytest.mark.parametrize("first", ["closed", "silent", "none"])
def test_the_first_that_answers(monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """An address that refuses or does not answer in time is skipped, and its attempt cancelled."""
    monkeypatch.setattr(dialing, "ATTEMPT_DELAY", 0.01)

    async def run() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        before = {"closed": [("127.0.0.1", closed_port())], "silent": [SILENT], "none": []}[first]
        assert await dialed(monkeypatch, [*before, address]) == (address, 0)
        server.close()

    asyncio.run(run())


def test_no_address_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single error is raised as it is, several as an ExceptionGroup."""
    port = closed_port()
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(dialed(monkeypatch, [("127.0.0.1", port)]))
    with pytest.raises(ExceptionGroup) as group:
        asyncio.run(dialed(monkeypatch, [("127.0.0.1", port), ("127.0.0.1", port)]))
    assert [type(error) for error in group.value.exceptions] == [ConnectionRefusedError] * 2


def test_the_families_take_turns() -> None:
    """Each address is tried once, alternating IPv4 and IPv6, starting with the system's first."""
    six, four = (socket.AF_INET6, ("::1", 1)), (socket.AF_INET, ("127.0.0.1", 1))
    other = (socket.AF_INET6, ("::2", 1))
    assert interleave([six, other, six, four]) == [six, four, other]
    assert interleave([]) == []
