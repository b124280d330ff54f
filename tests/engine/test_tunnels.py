"""Tunnels after an answer 101: other protocols, and WebSocket messages."""

import asyncio
from typing import Any

import pytest
from mitmproxy import ctx
from mitmproxy.http import HTTPFlow
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate

from moonpalace_addons.engine import watching
from moonpalace_addons.websocket_injection import WebSocketInjection
from tests.engine.harness import engine, read_head

ASK = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %b\r\n%b\r\n"
AGREE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\n%b\r\n"
WEBSOCKET = ASK % (b"websocket", b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a\r\n")


class Watching:
    """Record WebSocket hooks, and change messages."""

    def __init__(self) -> None:
        self.hooks: list[str] = []
        self.messages: list[tuple[bool, bytes]] = []
        self.flows: list[HTTPFlow] = []

    def response(self, flow: HTTPFlow) -> None:
        """Record the handshake."""
        self.hooks.append(f"response {flow.response.status_code if flow.response else 0}")
        self.flows.append(flow)

    def websocket_start(self, flow: HTTPFlow) -> None:
        """Record it."""
        self.hooks.append("websocket_start")

    async def websocket_message(self, flow: HTTPFlow) -> None:
        """Record a message; change some and drop others after a delay."""
        assert flow.websocket is not None
        message = flow.websocket.messages[-1]
        await asyncio.sleep(0.001)
        self.messages.append((message.from_client, message.content))
        if message.content == b"change me":
            message.content = b"changed"
        if message.content == b"drop me":
            message.drop()

    def websocket_end(self, flow: HTTPFlow) -> None:
        """Record it."""
        self.hooks.append("websocket_end")


async def raw_upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept any upgrade, with a byte in the same packet, and echo data in upper case."""
    asked = await read_head(reader)
    protocol = asked.partition(b"Upgrade: ")[2].partition(b"\r")[0]
    writer.write(AGREE % (protocol, b"X: y\r\n") + b">")
    while data := await reader.read(65536):
        writer.write(data.upper())


def test_any_protocol_passes() -> None:
    """Data directly after the heads and later passes in both directions; if one side closes, both are closed."""

    async def run() -> None:
        async with engine(raw_upstream) as running:
            reader, writer = await running.connect()
            writer.write(ASK % (b"foo", b"") + b"early ")
            head = await read_head(reader)
            assert head == AGREE % (b"foo", b"X: y\r\n")
            writer.write(b"later")
            assert await reader.readexactly(12) == b">EARLY LATER"
            big = b"x" * 3_000_000
            writer.write(big)
            assert await reader.readexactly(len(big)) == big.upper()
            writer.close()
            (client,) = running.service.connections
            while running.service.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            assert client.is_gone

    asyncio.run(run())


async def websocket_upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a greeting, and echo each message."""
    await read_head(reader)
    side = Connection(ConnectionType.SERVER)
    writer.write(AGREE % (b"websocket", b"Sec-WebSocket-Accept: b\r\n"))
    writer.write(side.send(TextMessage("hello")))
    while data := await reader.read(65536):
        side.receive_data(data)
        for event in side.events():
            if isinstance(event, Message):
                writer.write(side.send(event))
            elif isinstance(event, Ping | CloseConnection):
                writer.write(side.send(event.response()))


async def messages(reader: asyncio.StreamReader, side: Connection, count: int) -> list[Any]:
    """Read this many events on the client's side."""
    found: list[Any] = []
    while len(found) < count:
        side.receive_data(await reader.read(65536))
        found += list(side.events())
    return found


def test_websocket_messages_go_through_the_hooks() -> None:
    """Addons get each message, may change or drop it, and get the start and the end."""
    watching = Watching()

    async def run() -> None:
        async with engine(websocket_upstream, watching) as running:
            reader, writer = await running.connect()
            writer.write(WEBSOCKET)
            assert (await read_head(reader)).startswith(b"HTTP/1.1 101 ")
            side = Connection(ConnectionType.CLIENT)
            for event in (
                TextMessage("one"),
                TextMessage("change me"),
                TextMessage("drop me"),
                BytesMessage(b"\0\xff"),
            ):
                writer.write(side.send(event))
            writer.write(side.send(Ping(b"p")))
            found = await messages(reader, side, 5)
            texts = [event.data for event in found if isinstance(event, Message)]
            assert texts == ["hello", "one", "changed", b"\0\xff"]
            assert [event for event in found if isinstance(event, Pong)]
            writer.write(side.send(CloseConnection(1001, "bye")))
            assert [type(event) for event in await messages(reader, side, 1)] == [CloseConnection]
            assert await reader.read() == b""

    asyncio.run(run())
    assert watching.hooks == ["response 101", "websocket_start", "websocket_end"]
    (flow,) = watching.flows
    assert flow.websocket is not None
    assert [(message.from_client, message.content) for message in flow.websocket.messages][:2] == [
        (False, b"hello"),
        (True, b"one"),
    ]
    assert (flow.websocket.closed_by_client, flow.websocket.close_code) == (True, 1001)
    assert flow.websocket.timestamp_end is not None
    assert not flow.live


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"])
def test_what_is_no_websocket_frame_ends_both(garbage: bytes) -> None:
    """A protocol violation closes the tunnel and calls `websocket_end`, without an exception."""
    watching = Watching()

    async def run() -> None:
        async with engine(websocket_upstream, watching) as running:
            reader, writer = await running.connect()
            writer.write(WEBSOCKET)
            await read_head(reader)
            writer.write(garbage)
            await reader.read()

    asyncio.run(run())
    assert watching.hooks[-1] == "websocket_end"


class Watcher:
    """Record messages, and change nothing."""

    watches = frozenset({"websocket_message"})

    def __init__(self) -> None:
        self.messages: list[tuple[bool, bytes]] = []
        self.ends: list[tuple[bool | None, int | None]] = []

    def websocket_message(self, flow: HTTPFlow) -> None:
        """Record a message."""
        assert flow.websocket is not None
        self.messages.append((flow.websocket.messages[-1].from_client, flow.websocket.messages[-1].content))

    def websocket_end(self, flow: HTTPFlow) -> None:
        """Record who closed, and how."""
        assert flow.websocket is not None
        self.ends.append((flow.websocket.closed_by_client, flow.websocket.close_code))


@pytest.mark.parametrize("broken", [b"", b"\xff" * 20])
def test_watched_bytes_pass_unchanged_and_at_once(broken: bytes) -> None:
    """Where addons only watch, each byte passes as it came, half a frame too, and so do bytes that are no frames."""
    watcher = Watcher()
    side = Connection(ConnectionType.CLIENT)
    frames = side.send(TextMessage("one ", message_finished=False)) + side.send(TextMessage("two")) + broken
    close = side.send(CloseConnection(1000, "bye"))

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(AGREE % (b"websocket", b"") + b"\x81\x02hi")
        while data := await reader.read(1):
            writer.write(b"\x82\x01" + data)

    async def run() -> None:
        async with engine(echo, watcher) as running:
            reader, writer = await running.connect()
            writer.write(WEBSOCKET)
            await read_head(reader)
            assert await reader.readexactly(4) == b"\x81\x02hi"
            for byte in frames + close:
                writer.write(bytes([byte]))
                assert await reader.readexactly(3) == b"\x82\x01" + bytes([byte])
            writer.close()
            while not watcher.ends:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    asyncio.run(run())
    assert watcher.messages[0] == (False, b"hi")
    assert [content for from_client, content in watcher.messages if from_client] == [b"one two"]
    assert watcher.ends == [(True, 1006 if broken else 1000)]


def test_a_watched_bomb_passes_and_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit of the user's own, a message of which more than the default would be kept is not read."""
    monkeypatch.setattr(watching, "DEFAULT_ROOM", 1000)
    watcher, deflate = Watcher(), PerMessageDeflate()
    deflate.finalize("permessage-deflate")
    bomb = Connection(ConnectionType.SERVER, [deflate]).send(BytesMessage(bytes(1_000_000)))

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(AGREE % (b"websocket", b"Sec-WebSocket-Extensions: permessage-deflate\r\n") + bomb)
        await reader.read()

    async def run() -> None:
        async with engine(upstream, watcher) as running:
            reader, writer = await running.connect()
            writer.write(WEBSOCKET)
            await read_head(reader)
            assert await reader.readexactly(len(bomb)) == bomb

    asyncio.run(run())
    assert watcher.messages == []


def test_a_watched_websocket_is_closed_at_a_stop() -> None:
    """Both sides get a close frame when the proxy stops."""
    watcher, got = Watcher(), bytearray()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(AGREE % (b"websocket", b""))
        got.extend(await reader.read())

    async def run() -> None:
        async with engine(upstream, watcher) as running:
            reader, writer = await running.connect()
            writer.write(WEBSOCKET)
            await read_head(reader)
            (client,) = running.service.connections
            assert client._tunnel is not None
            client._tunnel.go_away()
            assert await reader.read() == b"\x88\x11\x03\xe9the proxy stops"
            while not got:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    asyncio.run(run())
    assert bytes(got) == b"\x88\x91\0\0\0\0\x03\xe9the proxy stops"
    assert watcher.ends == [(None, 1001)]


class Holder:
    """Keep the flow, and have messages passed one by one."""

    def websocket_message(self, flow: HTTPFlow) -> None:
        """Change nothing, which the engine cannot know."""


def inject(flow: HTTPFlow, to_client: bool, message: bytes, is_text: bool = True) -> None:
    """Do as scripts do."""
    ctx.master.commands.call("inject.websocket", flow, to_client, message, is_text)


@pytest.mark.parametrize("holders", [(), (Holder(),)], ids=["watched", "one by one"])
def test_injected_messages_reach_both_sides_between_others(holders: tuple[object, ...]) -> None:
    """The command of mitmproxy sends a message as if the other side had, but not into the midst of one."""
    watcher, starts = Watcher(), list[HTTPFlow]()
    watcher.websocket_start = starts.append  # type: ignore[attr-defined]
    client, server = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)
    writers, got = list[asyncio.StreamWriter](), list[Any]()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await read_head(reader)
        writer.write(AGREE % (b"websocket", b"") + server.send(TextMessage("one ", message_finished=False)))
        while data := await reader.read(65536):
            server.receive_data(data)
            got.extend(server.events())

    async def run() -> None:
        async with engine(upstream, WebSocketInjection(), watcher, *holders) as running:
            reader, writer = await running.connect()
            writer.write(WEBSOCKET)
            await read_head(reader)
            while not starts:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            found = [] if holders else await messages(reader, client, 1)
            inject(starts[0], True, b"x" * 70_000)
            inject(starts[0], False, b"\0\xff", is_text=False)
            writers[0].write(server.send(TextMessage("two")))
            while len(text := "".join(event.data for event in found)) < 70_007:
                found += await messages(reader, client, 1)
            assert text.replace("x" * 70_000, "") == "one two"
            while not got:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            writer.write(client.send(CloseConnection(1000)))
            await asyncio.sleep(0)

    asyncio.run(run())
    assert [event.data for event in got[:1]] == [b"\0\xff"]
    assert sorted(watcher.messages) == [(False, b"one two"), (False, b"x" * 70_000), (True, b"\0\xff")]
    (flow,) = starts
    assert flow.websocket is not None
    assert [message.injected for message in flow.websocket.messages if message.content != b"one two"] == [True, True]


def test_a_message_for_what_is_no_websocket_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """A tunnel of another protocol, and a connection that is closed, get no message; the log says so."""
    flows = Watching()

    async def run() -> None:
        async with engine(raw_upstream, WebSocketInjection(), flows) as running:
            reader, writer = await running.connect()
            writer.write(ASK % (b"foo", b""))
            await read_head(reader)
            inject(flows.flows[0], True, b"x")
            assert await reader.readexactly(1) == b">"

    asyncio.run(run())
    assert "Cannot inject WebSocket messages into non-WebSocket flows." in caplog.text
