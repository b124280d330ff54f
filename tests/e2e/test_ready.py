"""The start of a proxy: it answers nothing before it is ready."""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.e2e.cache_user import MODEL, history
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer
from tests.waiting import until

CACHED = {"MOONPALACE_AUTO_CACHE": "true", "MOONPALACE_CACHE_MIN_BYTES": "1000"}
PAUSE = 0.005


class Hammer(threading.Thread):
    """A client that calls repeatedly, on a new connection each time, starting long before the proxy listens."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.refused = 0
        self.answers: list[bytes] = []
        self.stopping = threading.Event()
        self.start()

    def run(self) -> None:
        """Call until it is stopped."""
        body = json.dumps({"model": MODEL, "messages": history(1)}).encode()
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sk-hammer-0123456789\r\n"
        )
        head += b"Connection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        while not self.stopping.wait(PAUSE):
            try:
                answer = self.ask(head + body)
            except OSError:
                answer = b""
            if answer:
                self.answers.append(answer)
            else:
                self.refused += 1

    def ask(self, request: bytes) -> bytes:
        """Return the whole answer to a request."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(request)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            return answer

    def stop_after(self, count: int) -> None:
        """Stop after this many answered calls."""
        until(lambda: len(self.answers) >= count)
        self.stopping.set()
        self.join(60)


def cached(mock: MockServer) -> dict[str, str]:
    """Return the environment of a proxy that creates caches, before the mock."""
    return {**CACHED, "MOONPALACE_ENDPOINT": mock.url}


type Start = Callable[[Launcher, MockServer, int], AbstractContextManager[Proxy]]


def mpal_start(launch: Launcher, mock: MockServer, port: int) -> AbstractContextManager[Proxy]:
    return launch.start("--port", str(port), endpoint=mock.url, extra=CACHED, fresh=True)


def mitmdump(launch: Launcher, mock: MockServer, port: int) -> AbstractContextManager[Proxy]:
    return launch.mitmproxy("mitmdump", "-p", str(port), extra=cached(mock), fresh=True)


def mitmdump_with_mode(launch: Launcher, mock: MockServer, port: int) -> AbstractContextManager[Proxy]:
    mode = f"reverse:{mock.url}@127.0.0.1:{port}"
    return launch.mitmproxy("mitmdump", "--mode", mode, extra=cached(mock), fresh=True)


def mitmweb(launch: Launcher, mock: MockServer, port: int) -> AbstractContextManager[Proxy]:
    quiet = ("--set", "web_port=0", "--set", "web_open_browser=false")
    return launch.mitmproxy(
        "mitmweb", "-p", str(port), *quiet, extra={**CACHED, "MOONPALACE_ENDPOINT": mock.url}, fresh=True
    )


@pytest.mark.parametrize("start", [mpal_start, mitmdump, mitmdump_with_mode, mitmweb])
def test_nothing_is_answered_before_all_is_ready(
    launch: Launcher, mock: MockServer, ports: Callable[[], int], start: Start
) -> None:
    """From the start each call is either refused or gets the API's answer, a row, and its part in the caches."""
    hammer = Hammer(ports())
    with start(launch, mock, hammer.port) as proxy:
        hammer.stop_after(20)
        assert hammer.refused
        assert {answer.partition(b"\r\n")[0] for answer in hammer.answers} == {b"HTTP/1.1 200 OK"}
        assert all(json.loads(answer.partition(b"\r\n\r\n")[2])["choices"] for answer in hammer.answers)
        rows = proxy.rows(len(hammer.answers))
        assert None not in {row.cache_outcome for row in rows}
