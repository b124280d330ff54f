"""A proxy that is out of file descriptors."""

import resource
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer
from tests.waiting import until

FLOOD = 150
BODY = {"model": "mock-echo", "messages": [{"role": "user", "content": "Hello"}]}
SAID = "out of file descriptors"


def is_answered(proxy: Proxy) -> bool:
    """Return whether a new connection is accepted and its call answered."""
    with proxy.client() as client:
        try:
            return client.post("/v1/chat/completions", json=BODY).status_code == 200
        except httpx.TransportError:
            return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets one process limit another")
def test_a_flood_is_refused_in_a_line_and_calls_go_on(launch: Launcher, mock: MockServer) -> None:
    """Connections beyond the limit of descriptors are refused and logged; calls before and after succeed."""
    with launch.start(endpoint=mock.url) as proxy, proxy.client() as client:
        assert client.post("/v1/chat/completions", json=BODY).status_code == 200
        pid, (_, most) = proxy.process.pid, resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE)
        used = max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 20, most))
        address = ("127.0.0.1", int(proxy.url.rpartition(":")[2]))
        with ExitStack() as held:
            for _ in range(FLOOD):
                held.enter_context(socket.create_connection(address, timeout=60))
            proxy.log.wait_for(SAID)
            end = time.monotonic() + 2.5
            while time.monotonic() < end:
                assert client.post("/v1/chat/completions", json=BODY).status_code == 200
        # The proxy may hear of the first connections that come free a moment later than of a new one.
        assert until(lambda: is_answered(proxy))
        proxy.stop()
        assert proxy.log.text.count(SAID) == 1
        assert "Traceback" not in proxy.log.text
