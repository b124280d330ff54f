"""`mpal start --console`: the console runs and ends with the proxy."""

from __future__ import annotations

import signal
import socket

import httpx
import pytest

from tests.e2e.launching import Launcher
from tests.scenarios.server import MockServer
from tests.waiting import until

ASKED = {"model": "kimi-k2", "messages": [{"role": "user", "content": "hello"}]}


def is_open(port: int) -> bool:
    """Return whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_the_console_ends_with_the_proxy(launch: Launcher, mock: MockServer, number: signal.Signals) -> None:
    """The log has its address with a token, it shows the calls, and it ends with the proxy, however that ends."""
    extra = {"MOONPALACE_WEB_TOKEN": "the-token"}
    with launch.start("--console", "--console-port", "0", endpoint=mock.url, extra=extra) as proxy:
        found = proxy.log.wait_for(r"MoonPalace console => (http://127\.0\.0\.1:(\d+)/)\?token=the-token\n")
        with proxy.client() as client:
            assert client.post("/v1/chat/completions", json=ASKED).status_code == 200
        proxy.rows(1)
        headers = {"Authorization": "Bearer the-token", "Accept": "application/json"}
        assert len(httpx.get(found[1], headers=headers, timeout=60).json()["calls"]) == 1
        if number == signal.SIGKILL:
            proxy.kill()
        else:
            proxy.process.send_signal(number)
            assert proxy.process.wait(60) == 0
        until(lambda: not is_open(int(found[2])))
        assert "console has ended" not in proxy.log.text
