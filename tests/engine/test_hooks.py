"""mitmproxy's hooks on the engine: their order, the state of the flow, and what addons can do."""

import asyncio
import time
from itertools import pairwise
from typing import Any

import pytest
from mitmproxy import exceptions
from mitmproxy.connection import Client, ConnectionState
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader, FlowWriter
from mitmproxy.proxy.mode_specs import ReverseMode
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.test import tflow

from moonpalace_addons.engine.hooks import Hooks
from tests.engine.harness import Script, engine, refusal, shared_master
from tests.engine.hooked import FLOW_HOOKS, OK, POST, Act, Acting, call
from tests.engine.talking import Noting

PAUSE = 0.1
"""Seconds between the parts of a request."""


def test_the_order_of_hooks() -> None:
    """All hooks are called in the documented order."""
    acting = Acting()
    assert call(acting) == OK
    assert [hook for hook in acting.hooks if hook != "server_disconnected"] == [
        "client_connected",
        "requestheaders",
        "request",
        "server_connect",
        "server_connected",
        "responseheaders",
        "response",
        "client_disconnected",
    ]


def test_what_a_flow_holds() -> None:
    """At each hook the flow has what mitmproxy documents, and it is complete at the end."""
    seen: dict[str, tuple[object, ...]] = {}

    def note(name: str) -> Act:
        def act(flow: HTTPFlow) -> None:
            content = flow.request.raw_content
            answer = (flow.response.status_code, flow.response.raw_content) if flow.response else None
            seen[name] = (content, answer, flow.live, flow.request.timestamp_end is not None)

        return act

    acting = Acting(**{name: note(name) for name in FLOW_HOOKS})
    call(acting)
    assert seen == {
        "requestheaders": (None, None, True, False),
        "request": (b"abc", None, True, True),
        "responseheaders": (b"abc", (200, None), True, True),
        "response": (b"abc", (200, b"hi"), True, True),
    }
    flow = acting.flow()
    assert not flow.live
    assert flow.error is None
    request, response = flow.request, flow.response
    assert response is not None
    assert request.timestamp_end is not None
    assert response.timestamp_end is not None
    assert request.timestamp_start <= request.timestamp_end <= response.timestamp_start <= response.timestamp_end
    assert (request.method, request.path, request.scheme, request.host) == ("POST", "/a", "http", "127.0.0.1")
    assert (request.http_version, request.headers["host"], request.text) == ("HTTP/1.1", "x", "abc")


@pytest.mark.parametrize("between", [b"", b"\r\n"])
@pytest.mark.parametrize("cuts", [[], [10], [-2], [10, -2]])
def test_a_request_begins_with_its_first_byte(between: bytes, cuts: list[int]) -> None:
    """However a request arrives, it begins with its first byte, also the second one of a connection."""
    noting = Noting()
    spans: list[tuple[float, float]] = []

    async def run() -> None:
        async with engine(Script([(POST, OK)] * 2), noting) as running:
            reader, writer = await running.connect()
            for _ in range(2):
                before, after = time.time(), []
                for start, end in pairwise([0, *cuts, len(POST)]):
                    writer.write(POST[start:end])
                    await asyncio.sleep(PAUSE)
                    after.append(time.time())
                assert await reader.readexactly(len(OK)) == OK
                spans.append((before, after[0]))
                writer.write(between)
                await asyncio.sleep(PAUSE)

    asyncio.run(run())
    for flow, (before, after) in zip(noting.flows, spans, strict=True):
        assert before <= flow.request.timestamp_start <= after


def test_connections_are_described() -> None:
    """A flow's connections have addresses, times, a state and a mode that any mitmproxy knows."""
    states: list[ConnectionState] = []

    def look(flow: HTTPFlow) -> None:
        states.extend((flow.client_conn.state, flow.server_conn.state))

    acting = Acting(response=look)
    call(acting)
    assert states == [ConnectionState.OPEN] * 2
    client, server = acting.flow().client_conn, acting.flow().server_conn
    assert client.peername[0] == client.sockname[0] == "127.0.0.1"
    assert server.address == server.peername
    assert server.sockname is not None
    assert client.timestamp_end is not None
    assert server.timestamp_start is not None
    assert server.timestamp_tcp_setup is not None
    assert server.timestamp_start <= server.timestamp_tcp_setup
    assert isinstance(client.proxy_mode, ReverseMode)
    assert client.state is ConnectionState.CLOSED
    assert not client.tls


def test_flows_can_be_saved_and_read(tmp_path: Any) -> None:
    """A flow of the engine can be saved to mitmproxy's files and loaded."""
    acting = Acting()
    call(acting)
    file = tmp_path / "flows"
    with file.open("wb") as written:
        FlowWriter(written).add(acting.flow())
    with file.open("rb") as stored:
        (found,) = FlowReader(stored).stream()
    assert found.get_state() == acting.flow().get_state()


@pytest.mark.parametrize("name", ["client_connected", *FLOW_HOOKS[:4], "server_connect", "server_connected"])
def test_awaitable_hooks_are_awaited(name: str) -> None:
    """The call waits until a hook's awaitable finishes."""
    done: list[str] = []

    async def wait(data: object) -> None:
        for _ in range(5):
            await asyncio.sleep(0.001)
        done.append(name)

    acting = Acting(**{name: wait})

    class After:
        pass

    after = After()
    order: list[bool] = []
    setattr(after, name, lambda data: order.append(bool(done)))
    script = Script([(POST, OK)])

    async def run() -> bytes:
        async with engine(script, acting, after) as running:
            reader, writer = await running.connect()
            writer.write(POST)
            return await reader.readexactly(len(OK))

    assert asyncio.run(run()) == OK
    assert order == [True]
    assert acting.of_flow == ["requestheaders", "request", "responseheaders", "response"]


@pytest.mark.parametrize("name", ["requestheaders", "request", "responseheaders", "response"])
def test_an_intercepted_flow_waits(name: str) -> None:
    """An intercepted flow continues when it is resumed, with the edits made meanwhile."""
    waiting = asyncio.Event()

    def intercept(flow: HTTPFlow) -> None:
        flow.intercept()
        waiting.set()

    acting = Acting(**{name: intercept})
    edits = name in ("requestheaders", "request")
    expected = POST.replace(b"/a", b"/edited") if edits else POST

    async def run() -> bytes:
        async with engine(Script([(expected, OK)]), acting) as running:
            reader, writer = await running.connect()
            writer.write(POST)
            await waiting.wait()
            await asyncio.sleep(0.02)
            if edits:
                acting.flow().request.path = "/edited"
            elif (response := acting.flow().response) is not None:
                response.headers["Edited"] = "yes"
            hooks = list(acting.of_flow)
            assert hooks[-1] == name
            acting.flow().resume()
            return await reader.readuntil(b"hi")

    got = asyncio.run(run())
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert edits or b"Edited: yes\r\n" in got


@pytest.mark.parametrize("name", ["requestheaders", "request", "responseheaders"])
@pytest.mark.parametrize("when", ["at once", "later", "intercepted"])
def test_a_killed_flow(name: str, when: str) -> None:
    """If a flow is killed, the client's connection is closed, and the hook `error` is called."""

    async def kill_later(flow: HTTPFlow) -> None:
        await asyncio.sleep(0.01)
        flow.kill()

    def kill_where_it_waits(flow: HTTPFlow) -> None:
        flow.intercept()
        asyncio.get_running_loop().call_later(0.01, flow.kill)

    kill: dict[str, Act] = {"at once": HTTPFlow.kill, "later": kill_later, "intercepted": kill_where_it_waits}
    acting = Acting(**{name: kill[when]})

    async def run() -> bytes:
        async with engine(Script([(POST, OK)]), acting) as running:
            reader, writer = await running.connect()
            writer.write(POST)
            return await reader.read()

    assert asyncio.run(run()) == b""
    assert acting.of_flow[-2:] == [name, "error"]
    assert str(acting.flow().error) == "Connection killed."


@pytest.mark.parametrize("error", [lambda _: None, lambda _: asyncio.sleep(0.01)], ids=["at once", "awaited"])
def test_a_flow_killed_before_the_last_piece_of_its_stream(error: Act) -> None:
    """The end that comes with that piece is none: `error` follows, not `response`, and the client sees no end."""
    killed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(POST))
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await killed.wait()
        writer.write(b"1\r\nb\r\n0\r\n\r\n")

    acting = Acting(responseheaders=lambda flow: setattr(flow.response, "stream", True), error=error)

    async def run() -> bytes:
        async with engine(serve, acting) as running:
            reader, writer = await running.connect()
            writer.write(POST)
            got = await reader.readuntil(b"a\r\n")
            acting.flow().kill()
            killed.set()
            return got + await reader.read()

    assert asyncio.run(run()).endswith(b"\r\n\r\n1\r\na\r\n")
    assert acting.of_flow == ["requestheaders", "request", "responseheaders", "error"]


def test_a_client_that_is_refused_at_its_connection() -> None:
    """An addon may refuse a client in `client_connected`."""

    def refuse(client: Client) -> None:
        client.error = "not you"

    acting = Acting(client_connected=refuse)

    async def run() -> bytes:
        async with engine(Script([]), acting) as running:
            reader, writer = await running.connect()
            writer.write(POST)
            try:
                return await reader.read()
            except ConnectionResetError:
                return b""

    assert asyncio.run(run()) == b""
    assert acting.of_flow == []


def test_a_server_that_is_refused() -> None:
    """An addon may refuse a server, as mitmproxy's own does for the proxy itself."""

    def refuse(data: ServerConnectionHookData) -> None:
        data.server.error = "not there"

    acting = Acting(server_connect=refuse)
    got = asyncio.run(_ask(acting))
    assert "Connection killed: not there" in refusal(got)[1]
    assert "server_connect_error" in acting.hooks


async def _ask(acting: Acting) -> bytes:
    async with engine(Script([]), acting) as running:
        reader, writer = await running.connect()
        writer.write(POST)
        return await reader.read()


def test_the_list_of_listeners_follows_the_addons() -> None:
    """Added and removed addons, nested ones too, take effect at the next call; AddonHalt stops a hook."""
    called: list[str] = []

    class Listener:
        def __init__(self, name: str, *, halts: bool = False, addons: tuple[object, ...] = ()) -> None:
            self.name, self.halts, self.addons = name, halts, addons

        def request(self, data: object) -> None:
            called.append(self.name)
            if self.halts:
                raise exceptions.AddonHalt

    async def run() -> None:
        with shared_master([], {}) as master:
            hooks = Hooks(master.addons)
            outer = Listener("outer", addons=(Listener("inner"),))
            for added in ([outer], [Listener("halts", halts=True)], [Listener("last")]):
                master.addons.add(*added)
                hooks.refresh()
                assert hooks.call("request", tflow.tflow()) is None
            assert called == ["outer", "inner", "outer", "inner", "halts", "outer", "inner", "halts"]
            called.clear()
            for name in ("outer", "halts"):
                master.addons.remove(master.addons.get(name))
            hooks.refresh()
            assert hooks.call("request", tflow.tflow()) is None
            assert called == ["last"]
            master.addons.remove(master.addons.get("last"))

    asyncio.run(run())


class Resting(Acting):
    """An addon one of whose hooks does nothing with its settings."""

    unneeded = ("request",)


def test_hooks_that_do_nothing_are_not_called() -> None:
    """The other hooks of the addon are."""
    resting = Resting()
    assert call(resting) == OK
    assert "request" not in resting.hooks
    assert {"requestheaders", "responseheaders", "response"} <= set(resting.hooks)
