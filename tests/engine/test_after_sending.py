"""What hooks leave to be done after sending."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from mitmproxy.http import HTTPFlow, Response

from moonpalace_addons.engine.api import ApiConnection
from moonpalace_addons.engine.client import ClientConnection
from moonpalace_addons.mitm import flow_control
from tests.engine.harness import engine, read_head

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Leaving:
    """Leave something to be done in each hook, and note the order."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def _leave(self, flow: HTTPFlow, hook: str) -> None:
        self.order.append(hook)
        flow_control.after_sending(flow, lambda: self.order.append(f"after {hook}"))

    def request(self, flow: HTTPFlow) -> None:
        """Do as the capture does."""
        self._leave(flow, "request")

    def response(self, flow: HTTPFlow) -> None:
        """Do as the capture does."""
        self._leave(flow, "response")

    def error(self, _: HTTPFlow) -> None:
        """Note it."""
        self.order.append("error")

    def watch(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, word: str) -> None:
        """Note calls of a method."""
        method: Callable[..., object] = getattr(owner, name)

        def noted(*given: object, **named: object) -> object:
            self.order.append(word)
            return method(*given, **named)

        monkeypatch.setattr(owner, name, noted)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request of a connection."""
    while True:
        await read_head(reader)
        writer.write(ANSWER)


async def ask(running_port: int, times: int) -> bytes:
    """Return the last of the answers on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running_port)
    last = b""
    for _ in range(times):
        writer.write(GET)
        last = await reader.readuntil(b"{}")
    writer.close()
    return last


def test_it_is_done_after_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is on its way to the API, and the answer to its client, before anything else is done."""
    leaving = Leaving()
    leaving.watch(monkeypatch, ApiConnection, "send", "sent to the API")
    leaving.watch(monkeypatch, ClientConnection, "write", "sent to the client")

    async def run() -> None:
        async with engine(answer, leaving) as running:
            await ask(running.port, 2)

    asyncio.run(run())
    assert leaving.order[-6:] == [
        *("request", "sent to the API", "after request"),
        *("response", "sent to the client", "after response"),
    ]


def test_it_is_done_before_the_hook_of_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that fails as it is sent has been recorded before its error is."""
    leaving = Leaving()

    def fail(*_: object, **__: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(ApiConnection, "send", fail)

    async def run() -> None:
        async with engine(answer, leaving) as running:
            reader, writer = await running.connect()
            writer.write(GET)
            await reader.read()

    asyncio.run(run())
    assert leaving.order == ["request", "after request", "error"]


class Answering(Leaving):
    """Answer requests after all others have seen them."""

    def responseheaders(self, _: HTTPFlow) -> None:
        """Note it."""
        self.order.append("responseheaders")

    def request(self, flow: HTTPFlow) -> None:
        """Leave something, and answer."""
        super().request(flow)
        flow.response = Response.make(200, b"{}")


def test_it_is_done_before_an_answer_of_an_addon_is_seen() -> None:
    """The store drops the head of an answer to a request that it does not have yet."""
    leaving = Answering()

    async def run() -> None:
        async with engine(answer, leaving) as running:
            await ask(running.port, 1)

    asyncio.run(run())
    assert leaving.order == ["request", "after request", "responseheaders", "response", "after response"]


def test_it_is_done_after_a_fault(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A fault after an answer was sent does not leave its call without an end."""
    leaving = Leaving()

    def fail(*_: object, **__: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr(ClientConnection, "finished", fail)

    async def run() -> None:
        async with engine(answer, leaving) as running:
            await ask(running.port, 1)

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert leaving.order == ["request", "after request", "response", "after response"]
    assert "ended a call because of a fault in MoonPalace" in caplog.text


class Waiting:
    """Have the hook `request` awaited until something has happened."""

    def __init__(self, order: list[str], event: str) -> None:
        self.name = f"waiting for {event}"
        self.order = order
        self.event = event

    async def request(self, _: HTTPFlow) -> None:
        """Wait."""
        while self.event not in self.order:  # noqa: ASYNC110
            await asyncio.sleep(0)
        self.order.append("awaited")


class First:
    """Note that a request was read."""

    def __init__(self, order: list[str]) -> None:
        self.order = order

    def request(self, _: HTTPFlow) -> None:
        """Note it."""
        self.order.append("read")


def test_it_does_not_wait_for_a_hook() -> None:
    """While an addon before or after is awaited, perhaps for minutes, the call is recorded already."""
    leaving = Leaving()
    order = leaving.order
    before, after = Waiting(order, "read"), Waiting(order, "after request")

    async def run() -> None:
        async with engine(answer, First(order), before, leaving, after) as running:
            await ask(running.port, 1)

    asyncio.run(run())
    assert order[:5] == ["read", "awaited", "request", "after request", "awaited"]


class Failing:
    """Leave something that fails."""

    def response(self, flow: HTTPFlow) -> None:
        """Do it twice."""
        for why in ("first", "second"):
            flow_control.after_sending(flow, lambda why=why: self._fail(why))  # type: ignore[misc]

    @staticmethod
    def _fail(why: str) -> None:
        raise ValueError(why)


def test_what_fails_harms_no_call(caplog: pytest.LogCaptureFixture) -> None:
    """The answers and the connection are as always, and the rest is done; each fault is logged."""

    async def run() -> bytes:
        async with engine(answer, Failing()) as running:
            return await ask(running.port, 2)

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(run()) == ANSWER
    faults = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert faults == ["first", "second"] * 2
