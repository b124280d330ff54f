"""The end of the proxy as seen by its clients, with real sockets."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from mitmproxy.http import HTTPFlow

from moonpalace_addons import stopping
from moonpalace_addons.calls.call import Call, Calls
from moonpalace_addons.calls.ending import STOPPED
from moonpalace_addons.calls.failures import PROXY_STOPPED
from moonpalace_addons.calls.tap import Tap
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.mitm.proxy_server import proxyserver
from moonpalace_addons.settings.values import resolve
from moonpalace_addons.stopping import UNTAKEN, Stopping
from tests.addons.proxied import ask, proxied, read_chunk

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Watched(Stopping):
    """A stop with calls that are noted as the capture does."""

    engine: bool

    def __init__(self) -> None:
        super().__init__(Configuration(resolve({}, {"MOONPALACE_HOME": "/nowhere"})), Calls())
        self.known: list[Call] = []
        self.left: list[Call] | None = None
        """The calls in progress as the addon after this one finds them at the end."""

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Begin a call."""
        super().requestheaders(flow)
        self.known.append(Call(flow, 0, [], "", "/"))
        self.calls.begin(self.known[-1])

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Begin an answer."""
        assert flow.response is not None
        call = self.known[-1]
        call.streaming, flow.response.stream = True, Tap(call)

    def response(self, flow: HTTPFlow) -> None:
        """End a call."""
        self.calls.end(flow)

    error = response

    async def done(self) -> None:
        """Do it once: if a test has called it, mitmproxy calls it again."""
        if not self.has_begun:
            await super().done()
            self.left = list(self.calls)


@pytest.fixture(autouse=True, params=[True, False], ids=["engine", "mitmproxy"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with our engine and with mitmproxy's server."""
    monkeypatch.setattr(Watched, "engine", request.param, raising=False)


type Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def begun_answer(
    watched: Watched, *pieces: bytes, more: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[Connection]:
    """Return the connection of a client whose answer has begun with these pieces, and ends when `more` returns.

    Without `more` it lasts until the proxy closes the connection to upstream.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces))
        await (more or reader.read)()
        writer.write(b"3\r\nend\r\n0\r\n\r\n")

    async with proxied(serve, watched, engine=watched.engine) as (reader, writer):
        await ask(reader, writer)
        yield reader, writer


def test_an_answer_under_way_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that ends in time reaches its client with its end, and then the connection is closed."""
    monkeypatch.setattr(stopping, "GRACE", 10.0)

    async def run() -> None:
        watched, begun = Watched(), asyncio.Event()
        async with begun_answer(watched, b"piece", more=begun.wait) as (reader, _):
            assert await read_chunk(reader) == b"piece"
            ending = asyncio.create_task(watched.done())
            await asyncio.sleep(0.1)
            assert not ending.done()
            begun.set()
            assert await reader.read() == b"3\r\nend\r\n0\r\n\r\n"
            await ending
        assert watched.known[0].given_up is None

    asyncio.run(run())


@pytest.mark.parametrize("signalled", [False, True], ids=["grace", "second-signal"])
def test_what_lasts_is_cut(monkeypatch: pytest.MonkeyPatch, signalled: bool) -> None:
    """After the grace period, or at a second signal, a call is cut: its client has all received data, and no end."""
    monkeypatch.setattr(stopping, "GRACE", 60.0 if signalled else 0.1)

    async def run() -> None:
        watched = Watched()
        async with begun_answer(watched, b"piece") as (reader, _):
            assert await read_chunk(reader) == b"piece"
            ending = asyncio.create_task(watched.done())
            await asyncio.sleep(0.05)
            if signalled:
                signal.raise_signal(signal.SIGTERM)
            assert await reader.read() == b""
            await ending
        (call,) = watched.known
        assert call.given_up == (PROXY_STOPPED, STOPPED)
        assert [piece for _, piece in call.answer.chunks] == [b"piece"]

    asyncio.run(run())


def test_a_client_that_takes_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for only for a limited time, and the call says how much was not sent."""
    monkeypatch.setattr(stopping, "GRACE", 0.1)
    monkeypatch.setattr(stopping, "FLUSH", 0.1)

    async def run() -> None:
        watched = Watched()
        async with begun_answer(watched, *[bytes(1 << 20)] * 20):
            while not (watched.known and flow_control.unsent(watched.known[0].flow)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            async with asyncio.timeout(5):
                await watched.done()
        (warning,) = watched.known[0].warnings
        assert warning.startswith(UNTAKEN)

    asyncio.run(run())


def test_an_idle_connection_is_closed_at_once() -> None:
    """A connection without a call is not waited for."""

    async def run() -> None:
        watched = Watched()
        async with begun_answer(watched) as (reader, writer), proxied_again() as idle:
            writer.close()
            ending = asyncio.create_task(watched.done())
            assert await idle.read() == b""
            await ending
            assert await reader.read() == b""

    @asynccontextmanager
    async def proxied_again() -> AsyncIterator[asyncio.StreamReader]:
        (instance,) = proxyserver().servers
        reader, writer = await asyncio.open_connection(*instance.listen_addrs[0][:2])
        yield reader
        writer.close()

    asyncio.run(run())


def test_without_settings_there_is_nothing_to_stop() -> None:
    """A proxy with invalid settings is about to exit by itself."""
    addon = Stopping(Configuration(), Calls())
    addon.running()
    asyncio.run(addon.done())
    assert not addon.has_begun


def test_a_call_that_is_cut_has_ended_when_the_stop_has() -> None:
    """What ends after this finds no call in progress: nothing more can reach a client unrecorded."""

    async def run() -> None:
        watched = Watched()
        async with begun_answer(watched, b"piece") as (reader, _):
            assert await read_chunk(reader) == b"piece"
            ending = asyncio.create_task(watched.done())
            await asyncio.sleep(0.05)
            signal.raise_signal(signal.SIGTERM)
            await ending
        assert watched.left == []

    asyncio.run(run())
