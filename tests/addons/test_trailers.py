"""Messages with trailers, in a mitmproxy with real sockets."""

import asyncio
import logging

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.layers.http import _http1

from moonpalace_addons.trailers import discard_trailers
from tests.addons.proxied import ours, proxied

TRAILED = b"5\r\nfirst\r\n0\r\nX-Checksum: abc\r\nX-More: 1\r\n\r\n"
PLAIN = b"5\r\nfirst\r\n0\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


class Streaming:
    """Let answers pass as they arrive, or whole."""

    def __init__(self, *, streamed: bool) -> None:
        self.streamed = streamed

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Decide it."""
        assert flow.response is not None
        flow.response.stream = self.streamed


@pytest.mark.parametrize("streamed", [False, True])
def test_messages_with_trailers_pass_without_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, streamed: bool
) -> None:
    """Request and answer arrive, and the connections serve the next call; mitmproxy would leave both sides waiting."""
    monkeypatch.setattr(_http1, "make_body_reader", _http1.make_body_reader)  # what is changed is put back
    discard_trailers()
    discard_trailers()
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            asked.append(await reader.readuntil(b"0\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\n" + CHUNKED + TRAILED)

    async def run() -> None:
        async with proxied(serve, Streaming(streamed=streamed)) as (reader, writer):
            for _ in range(2):
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + CHUNKED + TRAILED)
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(len(PLAIN)) == PLAIN

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert asked == [PLAIN, PLAIN]
    assert ours(caplog) == []


def test_a_mitmproxy_that_is_not_known(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is changed, and the log says what does not work."""
    monkeypatch.delattr(_http1, "make_body_reader")
    discard_trailers()
    assert not hasattr(_http1, "make_body_reader")
    assert "trailers" in caplog.text
