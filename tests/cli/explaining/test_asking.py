"""Tests of the request over real sockets: TLS, outgoing proxies, misbehaving servers."""

import base64
import gzip
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from moonpalace_addons.settings.endpoints import Endpoint
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted
from moonpalace_cli.explaining.asking import Asking, AskingError
from moonpalace_cli.explaining.target import Target
from moonpalace_cli.outgoing import http
from tests.scenarios.server import MockServer
from tests.socket_server import SocketServer, relay

BODY = json.dumps({"model": "mock-echo", "stream": True, "messages": [{"role": "user", "content": "moon"}]}).encode()
KEY = "sk-asking-0123456789"


def ask(url: str, *, proxy: str | None = None, ca: Path | None = None) -> Asking:
    """Ask, and return the recorded tasks."""
    asking = Asking(Target(Endpoint(url, key=KEY, headers=(("X-Team", "a"),), proxy=proxy), "m"), BODY, 10, ca)
    assert "".join(text for channel, text in asking.run() if channel == "content") == "moon"
    return asking


def test_the_exchange_is_noted(mock: MockServer) -> None:
    """The tasks have the request and the answer, with times, for the store."""
    read, started, ended = ask(mock.url).tasks
    assert isinstance(read, RequestRead)
    assert (read.endpoint, read.path, read.body) == (mock.url, "/v1/chat/completions", BODY)
    assert (read.api_key, read.secrets) == (KEY.encode(), (KEY.encode(),))
    assert f"Authorization: Bearer {KEY}\r\n" in read.headers
    assert "X-Team: a\r\n" in read.headers
    assert isinstance(started, ResponseStarted)
    assert (started.status_code, started.content_type) == (200, "text/event-stream")
    times = [at for at, _ in started.chunks]
    assert isinstance(ended, ExchangeEnded)
    assert 0 < started.at <= times[0] <= times[-1] <= ended.at
    assert {read.uuid, started.uuid} == {ended.uuid}


def test_certificates_are_verified() -> None:
    """A private CA must be configured; otherwise nothing is sent."""
    with MockServer(tls=True) as server:
        url = f"https://localhost:{server.port}"
        assert ask(url, ca=Path(server.ca_file)).tasks
        with pytest.raises(AskingError, match=r"its certificate is not trusted .*--upstream-ca names the CA"):
            ask(url)
        assert len(server.log) == 1


class Outgoing(SocketServer):
    """A proxy that records the heads of requests, and forwards all to one port."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.to, self.heads = port, list[str]()
        self.address = f"127.0.0.1:{self.port}"

    def serve(self, connection: socket.socket) -> None:
        """Forward a connection: for CONNECT its bytes, else the request."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65_536)
        head, _, _ = data.partition(b"\r\n\r\n")
        self.heads.append(head.decode())
        with socket.create_connection(("127.0.0.1", self.to)) as server:
            if head.startswith(b"CONNECT "):
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                method, _, rest = data.partition(b" http://llm.example.org/base")
                server.sendall(method + b" " + rest)
            relay(connection, server)


def test_a_proxy_for_http(mock: MockServer) -> None:
    """It gets the full URL, and its user and password, which the row does not have."""
    with Outgoing(mock.port) as proxy:
        result = ask("http://llm.example.org/base", proxy=f"http://me:pass%40word@{proxy.address}")
    (head,) = proxy.heads
    assert head.startswith("POST http://llm.example.org/base/v1/chat/completions HTTP/1.1\r\n")
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'me:pass@word').decode()}" in head
    assert isinstance(result.tasks[0], RequestRead)


def test_a_proxy_for_https() -> None:
    """It opens a tunnel, and sees neither the request nor the key."""
    with MockServer(tls=True) as server, Outgoing(server.port) as proxy:
        ask("https://localhost:4433", proxy=f"http://me:you@{proxy.address}", ca=Path(server.ca_file))
        (head,) = proxy.heads
        assert head.startswith("CONNECT localhost:4433 HTTP/1.")
        assert "Proxy-Authorization: Basic " in head
        assert KEY not in head


def test_a_proxy_with_tls_is_refused() -> None:
    """A proxy with an https:// address is reported as unsupported."""
    with pytest.raises(AskingError, match="cannot use the proxy: its own address is https://"):
        ask("https://localhost:1", proxy="https://proxy:3128")


EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = STREAM + b"Transfer-Encoding: chunked\r\n\r\n"
BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "the connection broke before the end of the answer"),
    "no HTTP": (b"220 mail.example.org ESMTP\r\n", "220 mail.example.org ESMTP"),
    "less than it said": (STREAM + b"Content-Length: 900\r\n\r\n" + EVENT % b"x", "the connection broke"),
    "no last chunk": (CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT) - 1, EVENT % b"x"), "the connection broke"),
    "too much": (STREAM + b"\r\n" + b": x\n\n" * 30, "the answer is longer than"),
    "a long head": (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, "got more than 65536 bytes"),
}


def read_until(client: socket.socket, end: bytes) -> None:
    """Read a request up to these bytes of its body."""
    received = b""
    while end not in received and (data := client.recv(65_536)):
        received += data


class Answering(SocketServer):
    """A server that reads a request up to its last bytes and answers with these bytes."""

    def __init__(self, last: bytes, data: bytes) -> None:
        super().__init__()
        self.last, self.data = last, data

    def serve(self, connection: socket.socket) -> None:
        """Answer one request."""
        read_until(connection, self.last)
        connection.sendall(self.data)


@pytest.mark.parametrize(("data", "words"), BROKEN.values(), ids=list(BROKEN))
def test_broken_answers(monkeypatch: pytest.MonkeyPatch, data: bytes, words: str) -> None:
    """Each is a one-line error, and the tasks have no end that could be stored."""
    monkeypatch.setattr(http, "MAX_ANSWER_SIZE", 100)
    with Answering(BODY[-20:], data) as server:
        asking = Asking(Target(Endpoint(server.url), "m"), BODY, 10)
        with pytest.raises(AskingError) as caught:
            list(asking.run())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any(isinstance(task, ExchangeEnded) for task in asking.tasks)


def test_a_server_that_closes_at_the_end() -> None:
    """Without a length the end of the connection ends the answer; its events tell whether it is complete."""
    with Answering(BODY[-20:], STREAM + b"\r\n" + EVENT % b"moon") as server:
        assert isinstance(ask(server.url).tasks[-1], ExchangeEnded)


def test_a_server_that_compresses(store: object, mpal: Callable[..., object], failed: int) -> None:
    """A compressed answer is read once it is complete."""
    done = gzip.compress(
        EVENT % b"so" + EVENT.replace(b"}]}", b',"finish_reason":"stop"}]}') % b"" + b"data: [DONE]\n\n"
    )
    with Answering(b"include_usage", STREAM + b"Content-Encoding: gzip\r\n\r\n" + done) as server:
        result = mpal("explain", str(failed), "-y", "--via", server.url)
    assert (result.code, result.out) == (0, "so\n"), result  # type: ignore[attr-defined]
