"""mitmproxy's hooks on the engine: their order, the state of the flow, and what addons can do."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from mitmproxy import exceptions
from mitmproxy.connection import Client, ConnectionState
from mitmproxy.http import HTTPFlow, Response
from mitmproxy.io import FlowReader, FlowWriter
from mitmproxy.proxy.mode_specs import ReverseMode
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from moonpalace_addons.engine.hooks import Hooks
from tests.engine.harness import Script, engine, read_head, refusal, shared_master

POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"
FLOW_HOOKS = ("requestheaders", "request", "responseheaders", "response", "error")
CONNECTION_HOOKS = (
    "client_connected",
    "client_disconnected",
    "server_connect",
    "server_connected",
    "server_connect_error",
    "server_disconnected",
)

type Act = Callable[[Any], Awaitable[None] | None]


class Acting:
    """Record all hooks, and act in some."""

    def __init__(self, **acts: Act) -> None:
        self.acts = acts
        self.hooks: list[str] = []
        self.flows: dict[str, HTTPFlow] = {}
        for name in FLOW_HOOKS + CONNECTION_HOOKS:
            setattr(self, name, self._hook(name))

    def _hook(self, name: str) -> Act:
        def hook(data: Any) -> Awaitable[None] | None:
            self.hooks.append(name)
            if isinstance(data, HTTPFlow):
                self.flows[data.id] = data
            act = self.acts.get(name)
            return act(data) if act is not None else None

        return hook

    def flow(self) -> HTTPFlow:
        """Return the only flow; no property, since mitmproxy reads all attributes of an addon."""
        (flow,) = self.flows.values()
        return flow

    @property
    def of_flow(self) -> list[str]:
        """Return the hooks of flows."""
        return [hook for hook in self.hooks if hook in FLOW_HOOKS]


def call(acting: Acting, script: Script | None = None, request: bytes = POST, **options: Any) -> bytes:
    """Make a call and close the connection; return the answer."""

    async def run() -> bytes:
        async with engine(script or Script([(request, OK)]), acting, **options) as running:
            reader, writer = await running.connect()
            writer.write(request)
            got = await read_head(reader) if acting.acts.get("error") is None else b""
            if b"chunked" in got:
                got += await reader.readuntil(b"0\r\n\r\n")
            elif b"Content-Length: " in got:
                got += await reader.readexactly(int(got.partition(b"Content-Length: ")[2].partition(b"\r")[0]))
            writer.close()
            while "client_disconnected" not in acting.hooks:  # noqa: ASYNC110
                await asyncio.sleep(0)
            return got

    return asyncio.run(run())


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


@pytest.mark.parametrize("name", ["request", "requestheaders"])
def test_an_answer_of_an_addon(name: str) -> None:
    """If an addon sets the answer, the API is not called, and the answer passes through the hooks."""

    def answer(flow: HTTPFlow) -> None:
        flow.response = Response.make(418, b"tea", {"X": "y"})

    acting = Acting(**{name: answer})
    script = Script([])
    got = call(acting, script)
    assert got.startswith(b"HTTP/1.1 418 I'm a teapot\r\n")
    assert got.endswith(b"tea")
    assert acting.of_flow == ["requestheaders", "request", "responseheaders", "response"]
    assert script.asked == []


def test_changes_of_request_and_answer() -> None:
    """Messages are forwarded as the addons changed them, with correct lengths."""

    def change_request(flow: HTTPFlow) -> None:
        flow.request.text = "longer than before"
        flow.request.headers["A"] = "b"
        flow.request.method = "PUT"

    def change_answer(flow: HTTPFlow) -> None:
        assert flow.response is not None
        flow.response.text = "changed"
        flow.response.status_code = 201
        flow.response.headers["Content-Length"] = "1"

    acting = Acting(request=change_request, response=change_answer)
    sent = b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\nA: b\r\n\r\nlonger than before"
    got = call(acting, Script([(sent, OK)]))
    assert got == b"HTTP/1.1 201 OK\r\nContent-Length: 7\r\n\r\nchanged"


def test_a_line_end_in_a_header_goes_nowhere() -> None:
    """A line end that an addon puts into a header cannot inject a request; the client gets an error."""

    def change(flow: HTTPFlow) -> None:
        flow.request.headers["A"] = "b\r\nC: d"

    acting = Acting(request=change)
    script = Script([])

    async def run() -> bytes:
        async with engine(script, acting) as running:
            reader, writer = await running.connect()
            writer.write(POST)
            return await reader.read()

    assert refusal(asyncio.run(run()))[0] == 502
    assert script.asked == []


@pytest.mark.parametrize("stored", [False, True])
def test_a_stream_of_an_addon(stored: bool) -> None:
    """A stream's callable gets each piece and the end, and its results are sent, and stored if required."""
    got: list[bytes] = []

    def change(data: bytes) -> Iterable[bytes] | bytes:
        got.append(data)
        return [data.upper(), b"-"] if data else b"end"

    def stream(flow: HTTPFlow) -> None:
        assert flow.response is not None
        flow.response.stream = change

    acting = Acting(responseheaders=stream)
    answer = call(acting, Script([(POST, CHUNKED)]), store_streamed_bodies=stored)
    assert got == [b"h", b"i", b""]
    assert answer.partition(b"\r\n\r\n")[2] == b"1\r\nH\r\n1\r\n-\r\n1\r\nI\r\n1\r\n-\r\n3\r\nend\r\n0\r\n\r\n"
    response = acting.flow().response
    assert response is not None
    assert response.raw_content == (b"H-I-end" if stored else None)


def test_large_answers_stream_where_mitmproxy_is_told_so() -> None:
    """`stream_large_bodies` streams larger answers."""
    acting = Acting()
    assert call(acting, Script([(POST, CHUNKED)]), stream_large_bodies="1") == CHUNKED
    response = acting.flow().response
    assert response is not None
    assert response.raw_content is None


def test_a_request_that_is_sent_elsewhere() -> None:
    """An addon may redirect a request."""
    elsewhere = Script([])

    async def run() -> bytes:
        async with engine(elsewhere, limits=None) as other:
            there = f"127.0.0.1:{other.upstream_port}"
            expected = POST.replace(b"Host: x", f"Host: {there}".encode())
            elsewhere.exchanges.append((expected, OK))

            def redirect(flow: HTTPFlow) -> None:
                flow.request.port = other.upstream_port  # mitmproxy changes the Host with it

            async with engine(Script([]), Acting(request=redirect)) as running:
                reader, writer = await running.connect()
                writer.write(POST)
                return await reader.readexactly(len(OK))

    assert asyncio.run(run()) == OK
    assert len(elsewhere.asked) == 1


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
                assert hooks.call("request", None) is None
            assert called == ["outer", "inner", "outer", "inner", "halts", "outer", "inner", "halts"]
            called.clear()
            for name in ("outer", "halts"):
                master.addons.remove(master.addons.get(name))
            hooks.refresh()
            assert hooks.call("request", None) is None
            assert called == ["last"]
            master.addons.remove(master.addons.get("last"))

    asyncio.run(run())
