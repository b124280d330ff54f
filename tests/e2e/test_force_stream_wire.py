"""Forced streams on the wire: correct framing, encodings and headers, with all kinds of clients and upstreams."""

import gzip
import json
import socket
import subprocess
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import httpx
import pytest

from moonpalace_addons.store.tasks import State
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer
from tests.socket_server import SocketServer, read_request

KEY = "sk-e2e-client-0123456789"
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hello 月亮 world 🌙"}]
PATIENCE = 60.0


@pytest.fixture(scope="module")
def proxy(launch: Launcher, mock: MockServer) -> Iterator[Proxy]:
    """Provide an `mpal start --force-stream` before the mock, shared by the tests of this module."""
    with launch.start("--force-stream", "--heartbeat", "0.1", endpoint=mock.url) as running:
        yield running


def chat_body(model: str) -> dict[str, object]:
    """Return a request."""
    return {"model": model, "messages": MESSAGES}


def request(proxy: Proxy, model: str, *headers: str, version: str = "1.1") -> bytes:
    """Return the bytes of a request."""
    body = json.dumps(chat_body(model)).encode()
    lines = (
        f"POST {CHAT} HTTP/{version}",
        f"Host: {urlsplit(proxy.url).netloc}",
        f"Authorization: Bearer {KEY}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    )
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def connect(proxy: Proxy) -> socket.socket:
    """Return a connection to the proxy."""
    address = urlsplit(proxy.url)
    return socket.create_connection((address.hostname or "", address.port or 0), PATIENCE)


def headers_of(head: bytes) -> dict[str, str]:
    """Return the headers of an answer by their lower-case names; none may occur twice."""
    pairs = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line]
    assert len(pairs) == len({name.lower() for name, _ in pairs}), head
    return {name.lower(): value for name, value in pairs}


@pytest.mark.parametrize("model", ["mock-echo", "mock-gzip", "mock-zstd", "mock-until-close", "mock-big"])
def test_the_framing_is_true(mock: MockServer, proxy: Proxy, model: str) -> None:
    """The answer is chunked, no header contradicts that, and the connection stays usable."""
    expected = httpx.post(
        f"{mock.url}{CHAT}", json=chat_body(model), headers={"Authorization": f"Bearer {KEY}"}, trust_env=False
    ).json()
    with connect(proxy) as connection, connection.makefile("rb") as reader:
        for _ in range(2):
            connection.sendall(request(proxy, model))
            head = b"".join(iter(reader.readline, b"\r\n"))
            assert head.startswith(b"HTTP/1.1 200 ")
            headers = headers_of(head)
            assert headers["transfer-encoding"] == "chunked"
            assert headers["content-type"] == "application/json; charset=utf-8"
            assert not {"content-length", "content-encoding"} & headers.keys()
            assert headers["msh-request-id"]
            body = b""
            while size := int(reader.readline(), 16):
                body += reader.read(size)
                assert reader.readline() == b"\r\n"
            assert reader.readline() == b"\r\n"
            assert json.loads(body) == expected
            if headers.get("connection") == "close":
                assert reader.read() == b""
                return


def test_an_old_client(mock: MockServer, proxy: Proxy) -> None:
    """A client of HTTP/1.0 gets no chunks: the answer ends with the connection."""
    with connect(proxy) as connection, connection.makefile("rb") as reader:
        connection.sendall(request(proxy, "mock-echo", version="1.0"))
        head, _, body = reader.read().partition(b"\r\n\r\n")
    assert not {"transfer-encoding", "content-length", "content-encoding"} & headers_of(head).keys()
    assert json.loads(body)["choices"][0]["message"]["content"] == MESSAGES[0]["content"]


def test_a_client_that_wants_the_connection_closed(proxy: Proxy) -> None:
    """The connection is closed after the last chunk."""
    with connect(proxy) as connection, connection.makefile("rb") as reader:
        connection.sendall(request(proxy, "mock-echo", "Connection: close"))
        answer = reader.read()
    assert answer.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("options", [(), ("--compressed",), ("--http1.0",), ("--no-keepalive",)])
def test_curl(proxy: Proxy, options: tuple[str, ...]) -> None:
    """`curl -i` shows one status and the completion, and reports no transfer error."""
    curl = ["curl", "-sS", "-i", "--noproxy", "*", "--max-time", "60", *options]
    curl += ["-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: application/json"]
    body = json.dumps(chat_body("mock-br"))
    done = subprocess.run([*curl, "-d", body, f"{proxy.url}{CHAT}"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    head, _, answer = done.stdout.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0].split()[1] == b"200"
    assert json.loads(answer)["object"] == "chat.completion"


@pytest.mark.parametrize("model", ["mock-cut", "mock-reset"])
@pytest.mark.parametrize("options", [(), ("--http1.0",)])
def test_curl_sees_a_broken_transfer(proxy: Proxy, model: str, options: tuple[str, ...]) -> None:
    """If upstream breaks off, curl fails and its output is not JSON; old clients see a reset."""
    curl = ["curl", "-sS", "--noproxy", "*", "--max-time", "60", *options]
    curl += ["-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: application/json"]
    done = subprocess.run(
        [*curl, "-d", json.dumps(chat_body(model)), f"{proxy.url}{CHAT}"], capture_output=True, check=False
    )
    assert done.stdout.strip() == b""
    if not options:
        assert done.returncode in (18, 56), done.stderr


LINGERING = "lingering"


class Canned(SocketServer):
    """An upstream that sends the bytes for a call's model, and then closes the connection.

    For the model LINGERING it waits for the other side to close it.
    """

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        super().__init__()
        self._answers = answers

    def serve(self, connection: socket.socket) -> None:
        """Answer one call."""
        model = json.loads(read_request(connection)[2])["model"]
        connection.sendall(self._answers[model])
        if model == LINGERING:
            connection.recv(1)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
EVENTS = (
    b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)
FIRST = EVENTS[: EVENTS.index(b"\n\n") + 2]
PACKED = gzip.compress(EVENTS)
FRAMED = {
    "content-length": HEAD + b"Content-Length: %d\r\n\r\n" % len(EVENTS) + EVENTS,
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(EVENTS), EVENTS),
    "until close": HEAD + b"Connection: close\r\n\r\n" + EVENTS,
    "gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED,
    "capitals": b"HTTP/1.1 200 OK\r\nContent-Type: TEXT/Event-Stream;charset=UTF-8\r\n\r\n" + EVENTS,
    LINGERING: HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(EVENTS), EVENTS),
    "empty": HEAD + b"Content-Length: 0\r\n\r\n",
    "without an end": HEAD + b"Content-Length: %d\r\n\r\n" % len(FIRST) + FIRST,
    "cut within an event": HEAD + b"Connection: close\r\n\r\n" + EVENTS[:120],
    "gzip cut": HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + PACKED[:-20],
    "no gzip": HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\nnothing of the kind",
}


WHOLE = ("content-length", "chunked", "until close", "gzip", "capitals", LINGERING)


@pytest.fixture(scope="module")
def canned(launch: Launcher) -> Iterator[Proxy]:
    """Provide a proxy before an upstream that frames its answers in every possible way."""
    with Canned(FRAMED) as upstream, launch.start("--force-stream", endpoint=upstream.url) as running:
        yield running


@pytest.mark.parametrize("framing", WHOLE)
def test_a_whole_stream_in_any_framing(canned: Proxy, request_id: str, framing: str) -> None:
    """The client gets the answer regardless of the stream's framing."""
    with canned.client() as client:
        answer = client.post(CHAT, json=chat_body(framing), headers={"X-Request-Id": request_id})
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    assert answer.json()["choices"] == [choice]
    assert canned.row(request_id).state is State.COMPLETED


@pytest.mark.parametrize("framing", [name for name in FRAMED if name not in (*WHOLE, "empty", "no gzip")])
def test_a_stream_that_is_not_whole(canned: Proxy, request_id: str, framing: str) -> None:
    """A stream whose transfer ends cleanly but whose answer is incomplete is a broken transfer for the client."""
    got: list[bytes] = []
    with (
        canned.client() as client,
        client.stream("POST", CHAT, json=chat_body(framing), headers={"X-Request-Id": request_id}) as answer,
        pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)),
    ):
        got.extend(answer.iter_raw())
    assert b"".join(got).strip() == b""
    row = canned.row(request_id)
    assert (row.state, row.is_coerced) == (State.UPSTREAM_FAILED, True)
    assert row.error_message


@pytest.mark.engine
def test_a_stream_of_nothing_that_can_be_read(canned: Proxy, request_id: str) -> None:
    """A body that is not a stream, despite its content type, is an error with a status."""
    with canned.client() as client:
        answer = client.post(CHAT, json=chat_body("no gzip"), headers={"X-Request-Id": request_id})
    assert (answer.status_code, answer.json()["error"]["type"]) == (502, "upstream_cut")
    assert canned.row(request_id).state is State.UPSTREAM_FAILED


def test_an_empty_stream(canned: Proxy, request_id: str) -> None:
    """An empty stream, announced as such, is an empty answer, not JSON."""
    with canned.client() as client:
        answer = client.post(CHAT, json=chat_body("empty"), headers={"X-Request-Id": request_id})
    assert (answer.status_code, answer.content) == (200, b"")
    assert canned.row(request_id).is_coerced
