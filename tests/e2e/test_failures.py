"""Failed calls: what the client gets, what upstream notices, and what the row contains."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import State
from moonpalace_cli.mock.served import Served
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer
from tests.waiting import until

KEY = "sk-e2e-client-0123456789"
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hello 月亮 world"}]
NEVER = {"X-Mock-Delay": "3600"}
BROKEN = (httpx.RemoteProtocolError, httpx.ReadError)
"""httpx's messages for a transfer that ends too early."""


@contextmanager
def closed_port() -> Iterator[int]:
    """Give a port on which nobody listens and which nobody else can take."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture(scope="module")
def dead(launch: Launcher) -> Iterator[Proxy]:
    """Provide a proxy whose endpoint's port is closed."""
    with closed_port() as port, launch.start(endpoint=f"http://127.0.0.1:{port}") as running:
        yield running


@pytest.fixture(scope="module")
def hasty(launch: Launcher, mock: MockServer) -> Iterator[Proxy]:
    """Provide a proxy whose idle timeout is one second."""
    with launch.start("--idle-timeout", "1", endpoint=mock.url) as running:
        yield running


def chat_body(model: str, *, stream: bool) -> dict[str, object]:
    """Return the body of a chat completion."""
    return {"model": model, "stream": stream, "messages": MESSAGES}


def served(mock: MockServer, request_id: str) -> Served:
    """Return the mock's record of a call, once the call has ended there."""
    for count in range(len(mock.log), len(mock.log) + 1000):
        for call in mock.log:
            if call.headers.get("X-Request-Id") == request_id:
                return call
        mock.log.wait_for(count + 1, timeout=60)
    raise AssertionError(request_id)


def error_of(answer: httpx.Response, status: int) -> dict[str, str]:
    """Return the error in an answer of the proxy, which has the API's format."""
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["error"]
    error: dict[str, str] = answer.json()["error"]
    assert error["message"]
    assert error["type"]
    return error


def read_until_broken(answer: httpx.Response) -> bytes:
    """Return what was read of an answer whose transfer must break off."""
    got = b""
    try:
        for piece in answer.iter_bytes():
            got += piece
    except BROKEN:
        return got
    raise AssertionError(got)


def assert_failed(row: Exchange, kind: str) -> None:
    """Check a row's state and error after a failure of upstream."""
    assert (row.state, row.error_kind) == (State.UPSTREAM_FAILED, kind)
    assert row.error_message


@pytest.mark.parametrize("stream", [False, True])
def test_a_closed_port_is_a_502(dead: Proxy, request_id: str, stream: bool) -> None:
    """Without an upstream the client gets the reason as JSON, and the row has the request and the reason."""
    body = chat_body("mock-echo", stream=stream)
    with dead.client() as client:
        answer = client.post(CHAT, json=body, headers={"X-Request-Id": request_id})
    error = error_of(answer, 502)
    assert "refused" in error["message"].lower() or "connect call failed" in error["message"].lower()
    row = dead.row(request_id)
    assert_failed(row, "upstream_refused")
    assert row.model_requested == "mock-echo"
    assert row.is_stream is stream
    assert json.loads(dead.bodies(row).request or b"") == body
    assert dead.bodies(row).response is None


def test_the_commands_show_a_failed_call(dead: Proxy, request_id: str) -> None:
    """`mpal list` shows the state in place of a status, `mpal inspect` the reason."""
    with dead.client() as client:
        client.get("/v1/models", headers={"X-Request-Id": request_id})
    row = dead.row(request_id)
    shown = dead.mpal_all([("list",), ("inspect", "--id", str(row.id))]).decode()
    listed, inspected = shown.split("mpal inspect")
    assert "upstream_failed" in listed
    assert (row.error_message or "")[:20] in inspected


@pytest.mark.parametrize(("method", "length"), [("GET", True), ("HEAD", False), ("DELETE", True)])
def test_a_closed_port_is_a_502_for_every_method(dead: Proxy, request_id: str, method: str, length: bool) -> None:
    """The error fits the method: HEAD gets only headers."""
    with dead.client() as client:
        answer = client.request(method, "/v1/models", headers={"X-Request-Id": request_id})
    assert answer.status_code == 502
    assert bool(answer.content) is length
    assert_failed(dead.row(request_id), "upstream_refused")


def test_a_large_upload_to_a_closed_port_is_a_502(dead: Proxy, request_id: str) -> None:
    """A client that sends a large body before it reads still gets the answer."""
    with dead.client() as client:
        answer = client.post("/v1/files", content=b"x" * (8 << 20), headers={"X-Request-Id": request_id})
    error_of(answer, 502)
    row = dead.row(request_id)
    assert row.request_bytes == 8 << 20


def test_a_request_beyond_the_limit_is_a_413(launch: Launcher, mock: MockServer) -> None:
    """With or without an announced length, the client's error and the row name the setting."""
    body = b"x" * 2000
    with launch.start("--max-body", "1000", endpoint=mock.url) as proxy, proxy.client() as client:
        for content in (body, iter([body])):
            answer = client.post(CHAT, content=content)
            assert (answer.status_code, answer.json()["error"]["type"]) == (413, "request_too_large")
            assert "1000 bytes (setting max-body)" in answer.json()["error"]["message"]
        for row in proxy.rows(2):
            assert (row.state, row.error_kind) == (State.CLIENT_DISCONNECTED, "request_too_large")
            assert "1000 bytes (setting max-body)" in (row.error_message or "")
            assert proxy.bodies(row).request == b""
    assert all(len(call.body) < 1000 for call in mock.log)


def test_an_unknown_host_is_a_502(launch: Launcher, request_id: str) -> None:
    """The error for an unknown host differs from that for a refused connection."""
    with launch.start(endpoint="http://nothing.invalid") as proxy, proxy.client() as client:
        error = error_of(client.post(CHAT, json=chat_body("mock-echo", stream=False)), 502)
        (row,) = proxy.rows(1)
    assert "nothing.invalid" in error["message"]
    assert_failed(row, "upstream_unknown_host")


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_hangs_up_is_a_502(proxy: Proxy, client: httpx.Client, request_id: str, stream: bool) -> None:
    """If upstream closes the connection before the first byte, plain calls and streams get an error as JSON."""
    answer = client.post(CHAT, json=chat_body("mock-reset-early", stream=stream), headers={"X-Request-Id": request_id})
    error_of(answer, 502)
    row = proxy.row(request_id)
    assert row.state is State.UPSTREAM_FAILED
    assert row.status_code is None
    assert row.error_message


@pytest.mark.parametrize("model", ["mock-cut", "mock-reset"])
def test_half_a_json_is_a_502(
    mock: MockServer, proxy: Proxy, client: httpx.Client, request_id: str, model: str
) -> None:
    """A truncated body never reaches the client as a document; what was received is stored."""
    answer = client.post(CHAT, json=chat_body(model, stream=False), headers={"X-Request-Id": request_id})
    error_of(answer, 502)
    row = proxy.row(request_id)
    assert row.state is State.UPSTREAM_FAILED
    assert row.status_code == 200
    assert row.msh_request_id
    kept = proxy.bodies(row).response or b""
    assert kept.startswith(b'{"id":"chatcmpl-')
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(kept)


@pytest.mark.parametrize("model", ["mock-cut", "mock-reset"])
def test_a_broken_stream_breaks_for_the_client(proxy: Proxy, client: httpx.Client, request_id: str, model: str) -> None:
    """A truncated stream is visibly incomplete for the client, who gets all that was received, as does the row."""
    ask = client.stream("POST", CHAT, json=chat_body(model, stream=True), headers={"X-Request-Id": request_id})
    with ask as answer:
        got = read_until_broken(answer)
    assert got.count(b"\n\n") == 3
    row = proxy.row(request_id)
    assert row.state is State.UPSTREAM_FAILED
    assert row.error_kind in ("upstream_cut", "upstream_reset")
    assert row.status_code == 200
    bodies = proxy.bodies(row)
    assert bodies.event_stream == got
    merged = json.loads(bodies.response or b"")
    assert merged["choices"][0]["finish_reason"] is None
    assert merged["choices"][0]["message"]["content"]


def test_a_client_that_leaves_stops_upstream(
    mock: MockServer, proxy: Proxy, client: httpx.Client, request_id: str
) -> None:
    """If the client disconnects during a stream, upstream is disconnected at once; the row has what was received."""
    headers = {**NEVER, "X-Request-Id": request_id}
    with client.stream("POST", CHAT, json=chat_body("mock-slow", stream=True), headers=headers) as answer:
        got = next(answer.iter_raw())
    call = served(mock, request_id)
    assert (call.sent_events, call.cut_off) == (1, True)
    row = proxy.row(request_id)
    assert (row.state, row.error_kind) == (State.CLIENT_DISCONNECTED, "client_disconnected")
    assert row.status_code == 200
    assert proxy.bodies(row).event_stream == got


def send_part(proxy: Proxy, request_id: str, *, body: bytes, announced: int) -> socket.socket:
    """Announce a request of `announced` bytes, send only `body`, and return the connection."""
    host, port = proxy.url.removeprefix("http://").split(":")
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {KEY}\r\nX-Request-Id: {request_id}\r\n"
        f"X-Mock-Delay: 3600\r\nContent-Type: application/json\r\nContent-Length: {announced}\r\n\r\n"
    )
    connection = socket.create_connection((host, int(port)), 60)
    connection.sendall(head.encode() + body)
    return connection


def test_a_client_that_leaves_before_the_headers(mock: MockServer, proxy: Proxy, request_id: str) -> None:
    """A client that disconnects before the answer leaves a row without one, and upstream is disconnected."""
    body = json.dumps(chat_body("mock-echo", stream=False)).encode()
    with send_part(proxy, request_id, body=body, announced=len(body)):
        in_flight(proxy, request_id)
    assert served(mock, request_id).cut_off
    row = proxy.row(request_id)
    assert (row.state, row.status_code) == (State.CLIENT_DISCONNECTED, None)
    assert proxy.bodies(row).request == body


def test_a_client_that_leaves_before_its_request_is_whole(proxy: Proxy, request_id: str) -> None:
    """A truncated request has a row; nothing of it goes upstream."""
    with send_part(proxy, request_id, body=b'{"model": "mock-echo", ', announced=1000):
        pass
    row = proxy.row(request_id)
    assert (row.state, row.status_code) == (State.CLIENT_DISCONNECTED, None)


def in_flight(proxy: Proxy, request_id: str) -> None:
    """Wait until a call has its row."""
    until(lambda: any(row.client_request_id == request_id for row in exchanges.latest(proxy.engine, limit=1000)))


def test_silence_before_the_headers_is_a_504(hasty: Proxy, request_id: str) -> None:
    """If upstream is silent for longer than the idle timeout, the client gets a 504 as JSON; the row is `timed_out`."""
    headers = {**NEVER, "X-Request-Id": request_id}
    with hasty.client() as client:
        answer = client.post(CHAT, json=chat_body("mock-echo", stream=False), headers=headers)
    assert "idle-timeout" in error_of(answer, 504)["message"]
    row = hasty.row(request_id)
    assert (row.state, row.status_code) == (State.TIMED_OUT, None)
    assert "idle-timeout" in (row.error_message or "")


def test_silence_in_a_json_body_is_a_504(hasty: Proxy, request_id: str) -> None:
    """If upstream falls silent within a JSON body, the client gets a 504 as JSON, and what was received is stored."""
    with hasty.client() as client:
        answer = client.post(CHAT, json=chat_body("mock-stall", stream=False), headers={"X-Request-Id": request_id})
    error_of(answer, 504)
    row = hasty.row(request_id)
    assert (row.state, row.status_code) == (State.TIMED_OUT, 200)
    assert (hasty.bodies(row).response or b"").startswith(b'{"id":"chatcmpl-')


def test_silence_in_a_stream_breaks_it(mock: MockServer, hasty: Proxy, request_id: str) -> None:
    """A stream that falls silent is aborted, for the client and for upstream."""
    body = chat_body("mock-stall", stream=True)
    with (
        hasty.client() as client,
        client.stream("POST", CHAT, json=body, headers={"X-Request-Id": request_id}) as answer,
    ):
        got = read_until_broken(answer)
    assert got.count(b"\n\n") == 2
    row = hasty.row(request_id)
    assert (row.state, row.error_kind) == (State.TIMED_OUT, "upstream_timeout")
    assert hasty.bodies(row).event_stream == got
    assert served(mock, request_id).cut_off


def test_a_client_that_stops_in_its_request_is_a_408(hasty: Proxy, request_id: str) -> None:
    """If a client falls silent within its request, the answer and the row blame only the client."""
    with send_part(hasty, request_id, body=b'{"model": "mock-echo", ', announced=1000) as connection:
        got = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    message = "no byte of the request for 1 s (setting idle-timeout)"
    assert json.loads(body) == {"error": {"message": message, "type": "client_timeout"}}
    row = hasty.row(request_id)
    assert (row.state, row.error_kind, row.error_message) == (State.TIMED_OUT, "client_timeout", message)


def test_a_client_that_stops_reading_is_not_upstreams_silence(hasty: Proxy, request_id: str) -> None:
    """A client that stops reading a stream is disconnected, and the row does not blame upstream."""
    body = json.dumps(chat_body("mock-many", stream=True)).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nX-Request-Id: {request_id}\r\n"
    head += f"X-Mock-Events: 40000\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    host, port = hasty.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.sendall(head.encode() + body)
        row = hasty.row(request_id)
    assert (row.state, row.error_kind) == (State.TIMED_OUT, "client_timeout")
    assert row.error_message == "the client took no byte of the answer for 1 s (setting idle-timeout)"


def test_a_proxy_goes_on_after_failures(proxy: Proxy, client: httpx.Client, request_id: str) -> None:
    """After each kind of failure the next call of the same client is answered."""
    for model in ("mock-reset-early", "mock-cut", "mock-reset"):
        client.post(CHAT, json=chat_body(model, stream=False))
        answer = client.post(
            CHAT, json=chat_body("mock-echo", stream=False), headers={"X-Request-Id": request_id + model}
        )
        assert answer.status_code == 200
        assert proxy.row(request_id + model).state is State.COMPLETED
