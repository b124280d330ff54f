"""Flow control on mitmproxy's own server; the end-to-end tests use real sockets."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Connection
from mitmproxy.flow import Error
from mitmproxy.http import Headers, HTTPFlow
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons, tflow, tutils

from moonpalace_addons.calls.control import Gate
from moonpalace_addons.mitm import flow_control
from moonpalace_addons.mitm.proxy_server import listen_on_tcp_only, proxyserver, was_set


class Writer:
    """The client's side of a socket."""

    def __init__(self) -> None:
        self.sent = b""
        self.closing = False

    def write(self, data: bytes) -> None:
        """Keep what is sent."""
        self.sent += data

    def is_closing(self) -> bool:
        """Return whether it is closed."""
        return self.closing


class Handler:
    """mitmproxy's connection handler of a client."""

    def __init__(self, flow: HTTPFlow) -> None:
        self.writer = Writer()
        self.transports = {flow.client_conn: SimpleNamespace(writer=self.writer)}
        self.timeout_watchdog = SimpleNamespace(last_activity=12.5)
        self.layer: object = None
        self.closed: list[Connection] = []

    def close_connection(self, connection: Connection) -> None:
        """Note what is closed."""
        self.closed.append(connection)


@pytest.fixture
def context() -> Iterator[taddons.context]:
    """Provide a mitmproxy with its proxy server."""
    with taddons.context(Proxyserver()) as context:
        yield context


@pytest.fixture
def flow() -> HTTPFlow:
    """Give a flow."""
    return tflow.tflow()


@pytest.fixture
def handler(context: taddons.context, flow: HTTPFlow) -> Handler:
    """Give the connection of the flow's client."""
    handler = Handler(flow)
    proxyserver().connections[flow.client_conn.id] = cast(ProxyConnectionHandler, handler)
    return handler


@pytest.mark.parametrize(
    ("method", "status", "head"),
    [
        ("POST", 502, b"HTTP/1.1 502 Bad Gateway\r\n"),
        ("GET", 504, b"HTTP/1.1 504 Gateway Timeout\r\n"),
        ("HEAD", 502, b"HTTP/1.1 502 Bad Gateway\r\n"),
    ],
)
def test_answer(handler: Handler, flow: HTTPFlow, method: str, status: int, head: bytes) -> None:
    """The client gets a complete JSON response (to HEAD only its head), then its connection is closed."""
    flow.request.method = method
    body = '{"error": {"message": "月"}}'.encode()
    assert flow_control.answer_and_close(flow, status, body)
    assert handler.writer.sent == (
        head
        + b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        + (b"" if method == "HEAD" else body)
    )
    assert handler.closed == [flow.client_conn]
    assert flow.error is not None
    assert flow.error.msg == flow.error.KILLED_MESSAGE


def test_no_answer_for_a_client_that_is_gone(context: taddons.context, flow: HTTPFlow) -> None:
    """Without a connection nothing is sent, and nothing is raised."""
    assert not flow_control.answer_and_close(flow, 502, b"{}")
    flow_control.close_client(flow)
    assert flow_control.last_activity(flow) is None
    assert flow_control.partial_body(flow) == b""


@pytest.mark.parametrize("reason", ["closing", "no writer", "no transport", "tls"])
def test_no_answer_where_it_cannot_be_read(handler: Handler, flow: HTTPFlow, reason: str) -> None:
    """Nothing is written to a closing connection, or past the encryption of one with TLS."""
    handler.writer.closing = reason == "closing"
    flow.client_conn.tls = reason == "tls"
    if reason == "no writer":
        handler.transports[flow.client_conn].writer = None
    if reason == "no transport":
        handler.transports.clear()
    assert not flow_control.answer_and_close(flow, 502, b"{}")
    assert (handler.writer.sent, handler.closed) == (b"", [])


def test_close_client(handler: Handler, flow: HTTPFlow) -> None:
    """Closing the client writes nothing."""
    flow_control.close_client(flow)
    assert (handler.writer.sent, handler.closed) == (b"", [flow.client_conn])


def test_last_activity(handler: Handler, flow: HTTPFlow) -> None:
    """The last activity is that of the connection."""
    assert flow_control.last_activity(flow) == 12.5


def test_partial_body(handler: Handler, flow: HTTPFlow, context: taddons.context) -> None:
    """The partial body is found below any layers, and only for that flow."""
    http = HttpLayer(Context(flow.client_conn, context.options), HTTPMode.transparent)
    other = tflow.tflow()
    http.streams = {
        1: SimpleNamespace(flow=other, response_body_buf=bytearray(b"another's")),  # type: ignore[dict-item]
        3: SimpleNamespace(flow=flow, response_body_buf=bytearray(b'{"id":')),  # type: ignore[dict-item]
    }
    handler.layer = SimpleNamespace(child_layer=SimpleNamespace(layer=http))
    assert flow_control.partial_body(flow) == b'{"id":'
    assert flow_control.partial_body(other) == b""


def test_was_set(context: taddons.context) -> None:
    """An option counts as set even if it is set to its default; an unknown one does not."""
    assert not was_set("http2")
    context.options.update(http2=True)
    assert was_set("http2")
    assert not was_set("no_such_option")


@pytest.mark.parametrize(
    ("mode", "before", "after"),
    [("reverse:https://tcp.example", "both", "tcp"), ("reverse:http://tcp.example", "tcp", "tcp")],
)
def test_listen_on_tcp_only(mode: str, before: str, after: str) -> None:
    """The proxy server gets a mode without UDP for the same text."""
    assert ProxyMode.parse(mode).transport_protocol == before
    listen_on_tcp_only(mode)
    assert ProxyMode.parse(mode).transport_protocol == after


# ---- ending and feeding a response --------------------------------------------------------------------------------


def test_close_upstream(handler: Handler, flow: HTTPFlow) -> None:
    """The upstream connection is closed if it is open; closing it again does not raise."""
    flow_control.close_upstream(flow)
    assert handler.closed == []
    handler.transports[flow.server_conn] = SimpleNamespace(writer=Writer())  # type: ignore[index]
    flow_control.close_upstream(flow)
    assert handler.closed == [flow.server_conn]


def test_close_upstream_of_a_client_that_is_gone(context: taddons.context, flow: HTTPFlow) -> None:
    """Without a client connection there is no upstream connection to close."""
    flow_control.close_upstream(flow)
    assert flow.server_conn.id not in proxyserver().connections


@pytest.mark.parametrize("reason", ["nothing", "ended", "broken", "gone"])
def test_is_over(handler: Handler, flow: HTTPFlow, reason: str) -> None:
    """A response is over once it has ended or failed, or its client is gone."""
    flow.response = tutils.tresp()
    flow.response.timestamp_end = 1.0 if reason == "ended" else None
    flow.error = Error("reset") if reason == "broken" else None
    if reason == "gone":
        proxyserver().connections.clear()
    assert flow_control.is_over(flow) is (reason != "nothing")


@pytest.mark.parametrize("over", [False, True])
def test_the_end_of_a_response(handler: Handler, flow: HTTPFlow, over: bool) -> None:
    """A client of mitmproxy's server gets the rest of the stream and its end, and is closed, unless it was over."""
    flow.response = tutils.tresp(headers=Headers(transfer_encoding="chunked"))
    flow.response.timestamp_end = 1.0 if over else None
    flow.response.stream = lambda data: [data, b"last"]

    async def run() -> None:
        flow_control.end_response(flow)
        assert handler.closed == []  # what the stream returns now is still to be sent
        await asyncio.sleep(0)

    asyncio.run(run())
    assert handler.writer.sent == (b"" if over else b"4\r\nlast\r\n0\r\n\r\n")
    assert handler.closed == ([] if over else [flow.client_conn])
    assert flow.metadata == {flow_control.ENDED_EARLY: True}


def test_the_end_of_a_response_to_a_client_with_tls(handler: Handler, flow: HTTPFlow) -> None:
    """Nothing is written past the encryption; an answer to a TLS client cannot be finished."""
    flow.response, flow.client_conn.tls = tutils.tresp(timestamp_end=None), True
    assert not flow_control.can_finish(flow)

    async def run() -> None:
        flow_control.end_response(flow)
        await asyncio.sleep(0)

    asyncio.run(run())
    assert (handler.writer.sent, handler.closed) == (b"", [flow.client_conn])


@pytest.mark.parametrize(("version", "said"), [("HTTP/1.1", "close"), ("HTTP/2.0", None)])
def test_the_end_of_a_connection_is_announced(flow: HTTPFlow, version: str, said: str | None) -> None:
    """A client of mitmproxy's server gets `Connection: close`, which HTTP/2 does not have."""
    flow.response = tutils.tresp()
    flow.request.http_version = version
    flow_control.announce_close(flow)
    assert flow.response.headers.get("connection") == said


def test_what_mitmproxys_server_cannot_do(handler: Handler, flow: HTTPFlow) -> None:
    """On mitmproxy's server there are no heartbeats and no held answers, and the remaining data is unknown."""
    flow.response = tutils.tresp()
    flow_control.inject_heartbeat(flow)
    flow_control.allow_retry(flow)
    assert not flow_control.hold_answer(flow, cast(Gate, None))
    assert not flow_control.has_come_whole(flow)
    assert (handler.writer.sent, handler.closed) == (b"", [])


def test_nothing_waits_on_mitmproxys_server(flow: HTTPFlow) -> None:
    """What could be done after sending is done at once there."""
    done: list[str] = []
    flow_control.after_sending(flow, lambda: done.append("x"))
    assert done == ["x"]
