"""TLS connections that are lost or closed twice, after which asyncio's transport raises AttributeError."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest

from moonpalace_addons.calls.call import Calls
from moonpalace_addons.configuration import Configuration
from moonpalace_addons.engine.api import ApiConnection
from moonpalace_addons.engine.connecting import Connector
from moonpalace_addons.mitm import client_connections, flow_control
from moonpalace_addons.settings.values import resolve
from moonpalace_addons.stopping import Stopping
from moonpalace_cli.mock.certificate import Certificate
from tests.engine.harness import Engine, engine, read_head, refusal, reset
from tests.engine.hooked import OK, POST, Acting

NO_ANSWER = "MoonPalace got no answer from the API: "


def trusting(certificate: Certificate) -> ssl.SSLContext:
    """Return the context of a client."""
    return ssl.create_default_context(cafile=certificate.ca_file)


async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close a connection without an answer."""


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition is met."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


def test_a_client_that_leaves_during_a_hook(certificate: Certificate) -> None:
    """The call ends with the hook `error`, in which nothing waits to be sent."""
    unsent: list[int] = []
    acting = Acting(
        request=lambda _: until(lambda: "client_disconnected" in acting.hooks),
        error=lambda flow: unsent.append(flow_control.unsent_at_end(flow, 7)),
    )

    async def run() -> None:
        async with engine(leave, acting, tls=certificate.context()) as running:
            _, writer = await running.connect(trusting(certificate))
            writer.write(POST)
            await until(lambda: "request" in acting.hooks)
            writer.transport.abort()
            await until(lambda: unsent)

    asyncio.run(run())
    assert unsent == [0]
    assert acting.of_flow == ["requestheaders", "request", "error"]


def test_an_api_that_is_lost_after_its_whole_answer(certificate: Certificate) -> None:
    """The client gets the answer, although the connection was reset during a hook."""
    acting = Acting(responseheaders=lambda _: until(lambda: "server_disconnected" in acting.hooks))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(POST))
        writer.write(OK)
        await until(lambda: "responseheaders" in acting.hooks)
        await asyncio.sleep(0.01)  # so that the answer is read before the reset
        reset(writer)

    assert asyncio.run(answer(acting, serve, api_tls=certificate.context())) == OK
    assert acting.of_flow[-1] == "response"


async def answer(acting: Acting, serve: Callable[..., Awaitable[None]], api_tls: ssl.SSLContext | None) -> bytes:
    """Make a call, and return its answer."""
    async with engine(serve, acting, api_tls=api_tls, ssl_insecure=True) as running:
        reader, writer = await running.connect()
        writer.write(POST)
        head = await read_head(reader)
        return head + await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0]))


@pytest.mark.parametrize("is_tls", [True, False])
def test_an_api_that_is_lost_during_the_hook_of_its_connection(certificate: Certificate, is_tls: bool) -> None:
    """The client is told so, instead of waiting for an answer."""
    acting = Acting(server_connected=lambda _: until(lambda: "server_disconnected" in acting.hooks))
    got = asyncio.run(answer(acting, leave, certificate.context() if is_tls else None))
    assert refusal(got) == (
        502,
        f"{NO_ANSWER}the API closed the connection before it answered",
    )


def test_an_api_that_is_lost_before_the_hook_of_its_connection(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was never connected for addons."""
    connect = Connector._tcp

    async def connect_and_lose(connector: Connector, api: ApiConnection, *rest: object) -> None:
        await connect(connector, api, *rest)  # type: ignore[arg-type]
        await until(lambda: api.is_gone)

    monkeypatch.setattr(Connector, "_tcp", connect_and_lose)
    acting = Acting()
    got = asyncio.run(answer(acting, leave, certificate.context()))
    assert refusal(got) == (502, f"{NO_ANSWER}the connection was reset")
    assert "server_connected" not in acting.hooks
    assert "server_connect_error" in acting.hooks


def test_a_client_that_leaves_during_the_hook_of_the_connection_to_the_api() -> None:
    """That connection is closed too."""
    left: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left.append(await reader.read())

    acting = Acting(server_connected=lambda _: asyncio.Event().wait())  # type: ignore[arg-type, return-value]

    async def run() -> None:
        async with engine(serve, acting) as running:
            _, writer = await running.connect()
            writer.write(POST)
            await until(lambda: "server_connected" in acting.hooks)
            writer.transport.abort()
            await until(lambda: left)

    asyncio.run(run())
    assert left == [b""]


async def idle(running: Engine, certificate: Certificate) -> asyncio.StreamReader:
    """Return the connection of a client that has connected."""
    reader, _ = await running.connect(trusting(certificate))
    await until(lambda: running.service.connections)
    return reader


def test_a_stop_with_an_idle_client(certificate: Certificate) -> None:
    """However often its connection is closed, the stop goes on, and the connection ends."""
    stopping = Stopping(Configuration(resolve({}, {"MOONPALACE_HOME": "/nowhere"})), Calls())

    async def run() -> None:
        async with engine(leave, tls=certificate.context()) as running:
            reader = await idle(running, certificate)
            for _ in range(2):  # before the client can answer
                assert not client_connections.drain()
            await stopping.done()
            assert await reader.read() == b""

    asyncio.run(run())


def test_a_closing_connection_can_be_aborted(certificate: Certificate) -> None:
    """Also if it was closed twice."""

    async def run() -> None:
        async with engine(leave, tls=certificate.context()) as running:
            await idle(running, certificate)
            (client,) = running.service.connections
            client.close()
            client.close()
            client.abort()
            transport = client.transport
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert client.is_gone
            assert client.transport is not transport
            assert (client.get_write_buffer_size(), client.transport.get_extra_info("peername")) == (0, None)
            for call in (client.transport.pause_reading, client.close, client.abort):
                call()

    asyncio.run(run())
