"""An https endpoint, and an outgoing proxy."""

import base64
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from moonpalace_addons.store.tasks import State
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer
from tests.socket_server import ParallelServer, relay

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hello 月亮 world"}]
PLAIN = {"model": "mock-echo", "messages": MESSAGES}
STREAM = {"model": "mock-echo", "messages": MESSAGES, "stream": True}
PASSWORD = "outgoing-Pass-0123456789"
AUTHORIZATION = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()
AWAY = "api.moonshot.test"
"""A host that only the outgoing proxy knows."""


@pytest.fixture(scope="module")
def tls_mock() -> Iterator[MockServer]:
    """Provide a TLS mock with a certificate that is not trusted yet."""
    with MockServer(tls=True) as server:
        yield server


class OutgoingProxy(ParallelServer):
    """An HTTP proxy that requires a password and connects to the mock, whatever the requested host."""

    def __init__(self, mock: MockServer) -> None:
        super().__init__()
        self._mock = urlsplit(mock.url)
        self.url = f"http://user:{PASSWORD}@127.0.0.1:{self.port}"
        self.lines: list[str] = []
        self.refused: list[str] = []

    def serve(self, connection: socket.socket) -> None:
        """Forward the bytes of a connection."""
        head = b""
        while b"\r\n\r\n" not in head and (data := connection.recv(65536)):
            head += data
        line, *headers = head.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        if f"proxy-authorization: {AUTHORIZATION}".lower() not in [header.lower() for header in headers]:
            self.refused.append(line)
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        self.lines.append(line)
        with socket.create_connection((self._mock.hostname or "", self._mock.port or 0), 60) as upstream:
            if line.startswith("CONNECT "):
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                upstream.sendall(head)
            relay(connection, upstream)


@pytest.fixture
def outgoing(tls_mock: MockServer) -> Iterator[OutgoingProxy]:
    """Provide an outgoing proxy to the TLS mock."""
    with OutgoingProxy(tls_mock) as proxy:
        yield proxy


def assert_works(proxy: Proxy) -> None:
    """Make a plain call and a stream, and find their rows."""
    with proxy.client() as client:
        plain = client.post(CHAT, json=PLAIN)
        stream = client.post(CHAT, json=STREAM)
    assert (plain.status_code, stream.status_code) == (200, 200), plain.text
    assert stream.text.endswith("data: [DONE]\n\n")
    first, second = proxy.rows(2)
    assert (first.state, second.state) == (State.COMPLETED, State.COMPLETED)
    assert proxy.bodies(first).response == plain.content
    assert proxy.bodies(second).event_stream == stream.content


def assert_refused(proxy: Proxy, kind: str) -> str:
    """Make a call that fails on the way upstream, and return the error in the answer."""
    with proxy.client() as client:
        answer = client.post(CHAT, json=PLAIN)
    assert answer.status_code == 502
    error = answer.json()["error"]
    (row,) = proxy.rows(1)
    assert (row.state, row.error_kind, row.status_code) == (State.UPSTREAM_FAILED, kind, None)
    assert row.error_message
    return str(error["message"])


def test_a_certificate_that_nobody_trusts_is_a_502(launch: Launcher, tls_mock: MockServer) -> None:
    """Certificates are verified: if that fails, a JSON error says so, and the key is not sent."""
    before = len(tls_mock.log)
    with launch.start(endpoint=tls_mock.url) as proxy:
        assert "certificate" in assert_refused(proxy, "upstream_tls").lower()
    assert len(tls_mock.log) == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_authority_of_ones_own_is_trusted(launch: Launcher, tls_mock: MockServer, host: str) -> None:
    """`--upstream-ca` makes calls work, for an endpoint with an IP address as well as with a name."""
    endpoint = tls_mock.url.replace("127.0.0.1", host)
    with launch.start("--upstream-ca", tls_mock.ca_file, endpoint=endpoint) as proxy:
        assert_works(proxy)
    assert tls_mock.log[-1].headers["Host"] == endpoint.removeprefix("https://")


def test_insecure_takes_any_certificate(launch: Launcher, tls_mock: MockServer) -> None:
    """With `--insecure` the certificate does not matter."""
    with launch.start("--insecure", endpoint=tls_mock.url) as proxy:
        assert_works(proxy)


def test_a_certificate_for_another_host_is_a_502(
    launch: Launcher, tls_mock: MockServer, outgoing: OutgoingProxy
) -> None:
    """A trusted certificate for another name is refused."""
    options = ("--upstream-ca", tls_mock.ca_file, "--upstream-proxy", outgoing.url)
    with launch.start(*options, endpoint=f"https://{AWAY}") as proxy:
        message = assert_refused(proxy, "upstream_tls")
    assert "certificate" in message.lower()
    assert outgoing.lines == [f"CONNECT {AWAY}:443 HTTP/1.1"]


def test_an_outgoing_proxy_is_used(launch: Launcher, tls_mock: MockServer, outgoing: OutgoingProxy) -> None:
    """`--upstream-proxy` with user and password is used, and the password is not written anywhere."""
    options = ("--upstream-ca", tls_mock.ca_file, "--upstream-proxy", outgoing.url)
    with launch.start(*options, endpoint=tls_mock.url, fresh=True) as proxy:
        assert_works(proxy)
        command = Path(f"/proc/{proxy.process.pid}/cmdline")
        assert not command.exists() or PASSWORD.encode() not in command.read_bytes()
        assert_not_written(proxy)
    assert set(outgoing.lines) == {f"CONNECT {tls_mock.url.removeprefix('https://')} HTTP/1.1"}
    assert not outgoing.refused


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_the_environments_proxy_is_used(launch: Launcher, outgoing: OutgoingProxy, name: str) -> None:
    """The usual environment variables set the proxy for an endpoint on another machine."""
    environment = {name: outgoing.url, "NO_PROXY": "example.com"}
    with launch.start("--insecure", endpoint=f"https://{AWAY}", extra=environment) as proxy:
        assert_works(proxy)
        assert_not_written(proxy)
    assert outgoing.lines
    assert set(outgoing.lines) == {f"CONNECT {AWAY}:443 HTTP/1.1"}


def test_the_environments_proxy_is_not_used_for_this_machine(launch: Launcher, tls_mock: MockServer) -> None:
    """An endpoint on this machine is reached directly, regardless of the variables."""
    dead = "http://127.0.0.1:1"
    with launch.start("--insecure", endpoint=tls_mock.url, extra={"HTTPS_PROXY": dead, "ALL_PROXY": dead}) as proxy:
        assert_works(proxy)


def test_an_outgoing_proxy_serves_a_plain_endpoint(launch: Launcher, mock: MockServer) -> None:
    """An http endpoint is reached through the outgoing proxy too, with the password."""
    with (
        OutgoingProxy(mock) as outgoing,
        launch.start("--upstream-proxy", outgoing.url, endpoint=f"http://{AWAY}") as proxy,
    ):
        assert_works(proxy)
        assert_not_written(proxy)
    assert not outgoing.refused
    assert outgoing.lines
    assert not [call for call in mock.log if "Proxy-Authorization" in call.headers]


def test_an_outgoing_proxy_that_refuses_is_a_502(
    launch: Launcher, tls_mock: MockServer, outgoing: OutgoingProxy
) -> None:
    """A wrong password is a JSON error that does not contain it."""
    wrong = outgoing.url.replace(PASSWORD, f"x{PASSWORD}")
    with launch.start("--insecure", "--upstream-proxy", wrong, endpoint=tls_mock.url) as proxy:
        message = assert_refused(proxy, "upstream_proxy")
        assert PASSWORD not in message
        assert_not_written(proxy)
    assert outgoing.refused


def assert_not_written(proxy: Proxy) -> None:
    """Check that the outgoing proxy's password is in no file and in no log."""
    secrets = (PASSWORD.encode(), AUTHORIZATION.removeprefix("Basic ").encode())
    texts = {str(path): path.read_bytes() for path in proxy.home.parent.rglob("*") if path.is_file()}
    texts["log"] = proxy.log.text.encode()
    assert len(texts) > 1
    for name, text in texts.items():
        assert not [secret for secret in secrets if secret in text], name


def test_the_client_may_name_us_as_it_likes(launch: Launcher, tls_mock: MockServer) -> None:
    """The client's Host header is not the one sent upstream."""
    with launch.start("--insecure", endpoint=tls_mock.url) as proxy, proxy.client() as client:
        answer = client.get("/v1/models", headers={"Host": "localhost:1234"})
        assert isinstance(answer, httpx.Response)
        assert answer.status_code == 200
    assert tls_mock.log[-1].headers["Host"] == tls_mock.url.removeprefix("https://")


LONG: dict[str, object] = {"messages": [{"role": "system", "content": "You are helpful. " * 60}, *MESSAGES]}


def test_caches_take_the_same_way(launch: Launcher, tls_mock: MockServer, outgoing: OutgoingProxy) -> None:
    """The requests of `--auto-cache` to the API use the same outgoing proxy and verification.

    So does the retry of a call whose cache was refused.
    """
    options = ("--upstream-ca", tls_mock.ca_file, "--upstream-proxy", outgoing.url, "--auto-cache")
    waiting = ("--cache-min-bytes", "100", "--cache-wait", "30")
    with launch.start(*options, *waiting, endpoint=tls_mock.url) as proxy, proxy.client() as client:
        for model in ("mock-cache", "mock-cache-lost"):
            assert client.post(CHAT, json=LONG | {"model": model}).status_code == 200
            assert client.post(CHAT, json=LONG | {"model": model, "stream": True}).text.endswith("data: [DONE]\n\n")
        rows = proxy.rows(4)
        assert_not_written(proxy)
    assert [row.cache_outcome for row in rows] == ["created", "hit", "refused", "refused"]
    assert len([call for call in tls_mock.log if call.path == "/v1/caching"]) == 3
    assert set(outgoing.lines) == {f"CONNECT {tls_mock.url.removeprefix('https://')} HTTP/1.1"}
    assert not outgoing.refused


def test_caches_of_an_endpoint_that_nobody_trusts(launch: Launcher, tls_mock: MockServer) -> None:
    """If the endpoint is not trusted, its caching API gets no key either."""
    before = len(tls_mock.log)
    with launch.start("--auto-cache", "--cache-min-bytes", "100", endpoint=tls_mock.url) as proxy:
        with proxy.client() as client:
            assert client.post(CHAT, json=LONG | {"model": "mock-cache"}).status_code == 502
        proxy.log.wait_for("context cache: creation failed.*[Cc]ertificate")
    assert len(tls_mock.log) == before
