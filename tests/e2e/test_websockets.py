"""WebSockets and other upgrades through a proxy, with a library's clients and servers: the resulting rows."""

import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve

from moonpalace_addons.store.tasks import State
from moonpalace_addons.wire.chat.event_data import make_decoder
from tests.e2e.launching import Launcher, Proxy
from tests.waiting import until

ENGINES = ("mitmproxy", "moonpalace")


def answer(websocket: ServerConnection) -> None:
    """Echo each message twice; on request, close with a code, break off, or send nothing more."""
    for message in websocket:
        if message == "close":
            websocket.close(1011, "enough")
        elif message == "break":
            websocket.socket.shutdown(socket.SHUT_RDWR)
        else:
            websocket.send(message)
            websocket.send(message)


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """Give the address of a WebSocket server."""
    server: Server
    with serve(answer, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Provide the name of each engine."""
    return str(request.param)


@pytest.fixture(scope="module")
def proxy(launch: Launcher, api: str, engine: str) -> Iterator[Proxy]:
    """Provide a proxy before that server, shared by tests."""
    with launch.start("--engine", engine, endpoint=api) as running:
        yield running


def opened(proxy: Proxy, request_id: str) -> ClientConnection:
    """Open a WebSocket through the proxy."""
    url = proxy.url.replace("http:", "ws:") + "/v1/realtime"
    return connect(url, proxy=None, additional_headers={"X-Request-Id": request_id})


def test_a_closed_websocket(proxy: Proxy, request_id: str) -> None:
    """The row has the size of both directions, who closed it, with which code, and the messages."""
    with opened(proxy, request_id) as client:
        client.send("hello")
        client.send(b"\0" * 70_000)
        assert [len(client.recv()) for _ in range(4)] == [5, 5, 70_000, 70_000]
        (under_way,) = until(lambda: [row for row in proxy.rows_so_far() if row.client_request_id == request_id])
        assert under_way.state is State.IN_FLIGHT
        client.close(4001, "bye")
    ended = proxy.row(request_id)
    assert (ended.state, ended.status_code, ended.error_kind) == (State.COMPLETED, 101, None)
    (warning,) = ended.warnings
    expected = (
        r"what passed through the WebSocket: from the client 2 messages, 70005 bytes; "
        r"from the API 4 messages, 140010 bytes; the client ended it with code 4001 after \d+\.\d s"
    )
    assert re.fullmatch(expected, warning)
    proxy.log.wait_for("what passed through the WebSocket")
    stream = proxy.bodies(ended).event_stream or b""
    assert stream.startswith(b"event: client\ndata: hello\n\n")
    named = sorted(event.event for event in make_decoder().feed(stream))
    assert named == ["client", "client-binary", "server", "server", "server-binary", "server-binary"]
    shown = proxy.mpal("inspect", str(ended.id), "--timeline").stdout.decode()
    assert re.search(r"client: \S.*hello", shown)


@pytest.mark.parametrize(
    ("word", "state", "kind", "said"),
    [
        ("close", State.COMPLETED, None, "the API ended it with code 1011"),
        ("break", State.UPSTREAM_FAILED, "upstream_cut", "the API ended it without closing the WebSocket"),
        (
            "leave",
            State.CLIENT_DISCONNECTED,
            "client_disconnected",
            "the client ended it without closing the WebSocket",
        ),
    ],
)
def test_who_ended_it(proxy: Proxy, request_id: str, word: str, state: State, kind: str | None, said: str) -> None:
    """A side that disconnects without closing the WebSocket has broken it."""
    client = opened(proxy, request_id)
    if word == "leave":
        client.socket.shutdown(socket.SHUT_RDWR)
    else:
        client.send(word)
    with suppress(ConnectionClosed):
        client.recv(60)
    ended = proxy.row(request_id)
    assert (ended.state, ended.error_kind) == (state, kind)
    assert said in ended.warnings[0]


def test_an_idle_websocket(launch: Launcher, api: str, engine: str, request_id: str) -> None:
    """It stays open as long as anything passes, and is closed after `idle-timeout` without; the row says so."""
    with launch.start("--engine", engine, "--idle-timeout", "3", endpoint=api) as proxy:
        client = opened(proxy, request_id)
        for _ in range(6):
            time.sleep(0.6)
            assert client.ping().wait(30)
        with pytest.raises(ConnectionClosed):
            client.recv(60)
        ended = proxy.row(request_id)
    assert (ended.state, ended.error_kind) == (State.TIMED_OUT, "tunnel_idle")
    assert ended.error_message == "nothing passed through the tunnel for 3 s (setting idle-timeout)"
    assert "the proxy ended it after" in ended.warnings[0]
    assert (ended.latency or 0) > 5e9


def test_a_stop(launch: Launcher, api: str, engine: str, request_id: str) -> None:
    """The proxy does not wait for WebSockets when it is stopped; the row says that the stop ended it."""
    with launch.start("--engine", engine, endpoint=api) as proxy:
        client = opened(proxy, request_id)
        client.send("hello")
        assert client.recv() == "hello"
        proxy.process.send_signal(signal.SIGTERM)
        assert client.recv(60) == "hello"
        with pytest.raises(ConnectionClosed):
            client.recv(60)
        assert proxy.process.wait(60) == 0
        ended = proxy.row(request_id)
    assert (ended.state, ended.error_kind) == (State.PROXY_DIED, "proxy_stopped")
    assert "from the client 1 messages, 5 bytes" in ended.warnings[0]
    assert "the proxy ended it after" in ended.warnings[0]


def changing(listening: socket.socket) -> None:
    """Switch to another protocol, echo in capitals, and close the connection at a full stop."""
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            with connection:
                asked = b""
                while b"\r\n\r\n" not in asked:
                    asked += connection.recv(65536)
                connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n")
                while (data := connection.recv(65536)) and data != b".":
                    connection.sendall(data.upper())


def test_another_protocol(launch: Launcher, engine: str) -> None:
    """The bytes after an upgrade to anything else are counted; its end is not a failure, whichever side closes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=changing, args=(listening,), daemon=True).start()
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with launch.start("--engine", engine, endpoint=endpoint) as proxy:
            for word in (b"hello", b"."):
                speak(proxy.url.removeprefix("http://"), word)
            rows = proxy.rows(2)
            listening.shutdown(socket.SHUT_RDWR)
    assert [(row.state, row.status_code) for row in rows] == [(State.COMPLETED, 101)] * 2
    said = r".*\(foo\) is not kept: from the client %d bytes; from the API %d bytes; %s after .* s"
    sides = ("the client ended it", "the API ended it") if engine == "moonpalace" else ("it ended", "it ended")
    assert re.fullmatch(said % (5, 5, sides[0]), rows[0].warnings[0])
    assert re.fullmatch(said % (1, 0, sides[1]), rows[1].warnings[0])


def speak(address: str, word: bytes) -> None:
    """Switch to another protocol, and send a word; close once it is echoed."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), 60) as client:
        client.sendall(b"GET /v1/x HTTP/1.1\r\nHost: %b\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n" % host.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        client.sendall(word)
        assert client.recv(5) == (b"" if word == b"." else word.upper())
