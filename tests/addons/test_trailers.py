"""Messages with trailers, in a mitmproxy with real sockets."""

import asyncio
import logging

import h11
import pytest
from h11._receivebuffer import ReceiveBuffer
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.layers.http import _http1

from moonpalace_addons.trailers import MANY, PlainChunkedReader, discard_trailers
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


@pytest.mark.parametrize("size", [1, 2, 100, MANY, 3 * MANY])
@pytest.mark.parametrize("step", [1, 7, 4096, 3 * MANY, 10 * MANY])
def test_many_chunks_are_joined(size: int, step: int) -> None:
    """Whatever the chunks and the reads, the data are the same; chunks that come at once become few."""
    data = bytes(number % 251 for number in range(6 * MANY))
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX: 1\r\n\r\nnext"
    reader, buffer, got = PlainChunkedReader(), ReceiveBuffer(), list[bytes]()
    for at in range(0, len(sent), step):
        buffer += sent[at : at + step]
        while isinstance(event := reader(buffer), h11.Data):
            got.append(bytes(event.data))
        if isinstance(event, h11.EndOfMessage):
            buffer += sent[at + step :]
            break
    assert b"".join(got) == data
    assert bytes(buffer) == b"next"
    assert step < MANY or len(got) <= max(100, 2 * len(pieces))
    assert step < MANY or size > 2 or len(got) < 100


def test_a_broken_chunk_among_many() -> None:
    """It is the error that it is among few."""
    buffer = ReceiveBuffer()
    buffer += b"1\r\nx\r\n" * MANY + b"1\r\nxy"
    with pytest.raises(h11.ProtocolError):
        PlainChunkedReader()(buffer)


def test_a_mitmproxy_that_is_not_known(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is changed, and the log says what does not work."""
    monkeypatch.delattr(_http1, "make_body_reader")
    discard_trailers()
    assert not hasattr(_http1, "make_body_reader")
    assert "trailers" in caplog.text
