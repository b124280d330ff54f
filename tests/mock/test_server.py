"""Start and stop of the server, and its log."""

import json
import resource
import selectors
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.mock.scenarios import Times
from moonpalace_cli.mock.served import Served, ServedLog
from tests.scenarios.server import MockServer

KEY = {"Authorization": "Bearer sk-test"}
CHAT = {"model": "mock-echo", "messages": [{"role": "user", "content": "Hello 月亮"}]}

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nAuthorization: Bearer k\r\n"


def served(number: int) -> Served:
    """Return an entry of a log."""
    return Served("GET", f"/{number}", "", {}, b"", 0, 0, cut_off=False)


def test_the_log(own_mock: MockServer, own_client: httpx.Client) -> None:
    """A request is in the log as soon as the client has the answer, in the order of the calls."""
    first = own_client.post("/v1/chat/completions?a=%20b&c", json=CHAT, headers={"X-Any": "1"})
    assert [call.path for call in own_mock.log] == ["/v1/chat/completions"]
    own_client.get("/v1/models")
    chat, models = own_mock.log
    assert (chat.method, chat.path, chat.query) == ("POST", "/v1/chat/completions", "a=%20b&c")
    assert chat.body == first.request.content
    assert (chat.headers["authorization"], chat.headers["x-any"]) == ("Bearer sk-test", "1")
    assert (chat.sent_events, chat.total_events, chat.cut_off, chat.status) == (0, 0, False, 200)
    assert (chat.model, models.model) == ("mock-echo", "")
    assert (models.method, models.path) == ("GET", "/v1/models")


def test_the_log_of_a_stream(own_mock: MockServer, own_client: httpx.Client) -> None:
    """A stream is in the log before its last event can be read, even if the client does not read further."""
    with own_client.stream("POST", "/v1/chat/completions", json=CHAT | {"stream": True}) as answer:
        lines = [line for line in answer.iter_lines() if line]
        assert lines[-1] == "data: [DONE]"
        (call,) = own_mock.log
    assert (call.sent_events, call.total_events, call.cut_off) == (5, 5, False)


def test_a_client_that_leaves(own_mock: MockServer, own_client: httpx.Client) -> None:
    """If a client leaves an endless loop early, most events are not sent."""
    headers = {"X-Mock-Delay": "0.005"}
    body = CHAT | {"model": "mock-repeat", "stream": True}
    with own_client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        next(answer.iter_raw())
    (call,) = own_mock.log.wait_for(1)
    assert call.cut_off
    assert 0 < call.sent_events < 100 < call.total_events == 303


def test_nothing_is_left_of_a_client_that_left(own_mock: MockServer, own_client: httpx.Client) -> None:
    """The task that waits to send the next event is cancelled, even with an hour still to wait."""
    headers = {"X-Mock-Delay": "3600"}
    with own_client.stream("POST", "/v1/chat/completions", json=CHAT | {"stream": True}, headers=headers):
        assert len(own_mock._tasks) == 1
    own_mock.log.wait_for(1)
    own_client.get("/v1/models")  # gives the loop a turn
    assert own_mock._tasks == set()


def test_the_log_keeps_the_last() -> None:
    """Only a limited number of calls is kept; slices and negative indices work as with a list."""
    log = ServedLog(3)
    for number in range(5):
        log.append(served(number))
    assert [call.path for call in log] == ["/2", "/3", "/4"]
    assert (len(log), log[-1].path, [call.path for call in log[1:]]) == (3, "/4", ["/3", "/4"])
    assert log.wait_for(3, 0) == list(log)
    with pytest.raises(TimeoutError, match="3 of 4 calls"):
        log.wait_for(4, 0)


def test_every_call_is_told() -> None:
    """The function given at the start is called for each call."""
    told: list[Served] = []
    with MockServer(on_served=told.append, keep=0) as mock:
        httpx.get(f"{mock.url}/v1/models", headers=KEY, trust_env=False)
        assert len(mock.log) == 0
    assert [call.path for call in told] == ["/v1/models"]


@pytest.fixture
def enough_files() -> Iterator[None]:
    """Allow this process 500 connections with both ends, more than many machines do by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2000 if hard == resource.RLIM_INFINITY else min(2000, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("enough_files")
def test_500_connections_at_once(own_mock: MockServer) -> None:
    """500 concurrent streams are all complete."""
    body = json.dumps(CHAT | {"model": "mock-slow", "stream": True}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer k\r\nContent-Length: {len(body)}\r\n"
    )
    request = f"{head}X-Mock-Delay: 0.2\r\nConnection: close\r\n\r\n".encode() + body
    received: dict[socket.socket, bytearray] = {}
    most_open = 0
    with selectors.DefaultSelector() as selector:
        for _ in range(500):
            connection = socket.create_connection(("127.0.0.1", own_mock.port), 10)
            received[connection] = bytearray()
            selector.register(connection, selectors.EVENT_READ)
        for connection in received:
            connection.sendall(request)
        while selector.get_map():
            ready = selector.select(10)
            assert ready, "the mock fell silent"
            most_open = max(most_open, sum(1 for found in received.values() if found))
            for key, _events in ready:
                parse_bounded(key.fileobj, selector, received)
    assert most_open == 500
    assert {bytes(found).split(b"\r\n\r\n", 1)[1].count(b"data: ") for found in received.values()} == {5}
    assert all(found.endswith(b"0\r\n\r\n") for found in received.values())
    assert [call.cut_off for call in own_mock.log] == [False] * 500


def parse_bounded(found: object, selector: selectors.BaseSelector, received: dict[socket.socket, bytearray]) -> None:
    """Read what a connection sends, and close it at its end."""
    assert isinstance(found, socket.socket)
    data = found.recv(65536)
    received[found] += data
    if not data:
        selector.unregister(found)
        found.close()


def test_a_port_in_use(shared_mock: MockServer) -> None:
    """A port in use is a one-line error that names it."""
    with pytest.raises(MoonPalaceError, match=rf"^the mock cannot listen on 127\.0\.0\.1:{shared_mock.port}: .+$"):
        MockServer(shared_mock.port).start()


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1"])
def test_an_address_that_is_not_ours(host: str) -> None:
    """An address that this machine does not have is the same kind of error."""
    with pytest.raises(MoonPalaceError, match="the mock cannot listen on"):
        MockServer(host=host).start()


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:7"), ("0.0.0.0", "http://127.0.0.1:7"), ("::1", "http://[::1]:7")],
)
def test_url(host: str, url: str) -> None:
    """The address is one that clients can connect to."""
    assert MockServer(7, host).url == url


def test_stopping(own_mock: MockServer) -> None:
    """A stopped mock has closed its connections and its port; it may be stopped and started again."""
    with socket.create_connection(("127.0.0.1", own_mock.port), 10) as connection:
        body = json.dumps(CHAT | {"model": "mock-stall", "stream": True}).encode()
        connection.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        own_mock.stop()
        while connection.recv(65536):
            pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", own_mock.port), 10)
    own_mock.stop()
    own_mock.start()
    assert httpx.get(f"{own_mock.url}/v1/models", headers=KEY, trust_env=False).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_tls(host: str) -> None:
    """A client that trusts the certificate is served; the files are gone after the mock is stopped."""
    with MockServer(tls=True, times=Times(loop=0)) as mock:
        folder = Path(mock.ca_file).parent
        trusting = ssl.create_default_context(cafile=mock.ca_file)
        with httpx.Client(verify=trusting, headers=KEY, trust_env=False) as client:
            url = f"https://{host}:{mock.port}/v1/chat/completions"
            assert mock.url.startswith("https://")
            assert client.post(url, json=CHAT).json()["choices"][0]["message"]["content"] == "Hello 月亮"
            assert client.post(url, json=CHAT | {"stream": True}).text.endswith("data: [DONE]\n\n")
            assert client.post(url, json=CHAT | {"model": "mock-until-close"}).json()["model"] == "mock-until-close"
            # A reset under TLS is an end without a goodbye to some versions of Python's ssl.
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                client.post(url, json=CHAT | {"model": "mock-reset", "stream": True})
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.post(url, json=CHAT, verify=ssl.create_default_context(), trust_env=False)
    assert not folder.exists()


def test_until_close_over_tls_says_goodbye() -> None:
    """A body that ends with the connection ends with TLS's closing alert, so that it is not taken for truncated."""
    body = json.dumps(CHAT | {"model": "mock-until-close"}).encode()
    with MockServer(tls=True) as mock:
        context = ssl.create_default_context(cafile=mock.ca_file)
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        with (
            socket.create_connection(("127.0.0.1", mock.port), 10) as plain,
            context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as connection,
        ):
            connection.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            found = b""
            while data := connection.recv(65536):
                found += data
    assert found.endswith(b"}")
