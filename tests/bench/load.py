"""A quick upstream and a quick client, each to run in a process of its own beside the proxy.

    python -m tests.bench.load upstream PORT
    python -m tests.bench.load client PORT CONNECTIONS CALLS KIND     prints the calls per second, and ms per call

Client and upstream must cost less than what they measure: bare protocols, answers made beforehand, hardly any parsing.
"""

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import batched
from statistics import median

HEAD = b"HTTP/1.1 200 OK\r\nMsh-Request-Id: r\r\nServer-Timing: inner; dur=1\r\n"
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"kimi-k2.6",'
    b'"choices":[{"index":0,"delta":{"content":"%s "},"finish_reason":null}]}\n\n'
)
SYLLABLES = [first + last for first in "bdfgklmnprstvw" for last in ("a", "en", "i", "or", "u")]
LAST_EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"kimi-k2.6",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":300,"completion_tokens":200,"total_tokens":500}}\n\ndata: [DONE]\n\n'
)
EVENTS_PER_WRITE = 5
"""The number of events that the upstream sends together; the proxy's reads may combine more anyway."""
HISTORY_MESSAGES, HISTORY_MESSAGE_BYTES = 50, 2_000
KIND = re.compile(rb'"user":"(\w+)"')


def completion(size: int) -> bytes:
    """Return an answer that is not streamed, with `size` bytes of content."""
    return (
        b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"kimi-k2.6","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":"' + b"x" * size + b'"},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":300,"completion_tokens":200,"total_tokens":500}}'
    )


def plain_answer(body: bytes) -> list[bytes]:
    """Return an answer with a length, to be sent in one write."""
    return [HEAD + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body]


def stream_answer(events: int) -> list[bytes]:
    """Return the writes of a stream, each event a chunk of the transfer; its text does not repeat itself."""
    author = random.Random(events)
    texts = [EVENT % "".join(author.choices(SYLLABLES, k=3)).encode() for _ in range(events)]
    chunks = [b"%x\r\n%s\r\n" % (len(text), text) for text in texts]
    writes = [b"".join(some) for some in batched(chunks, EVENTS_PER_WRITE)]
    last = b"%x\r\n%s\r\n0\r\n\r\n" % (len(LAST_EVENT), LAST_EVENT)
    head = HEAD + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [head, *writes, last]


def short_request(number: int, kind: str) -> bytes:
    """Return a request of 1.2 KB."""
    stream = b"true" if kind.startswith("stream") else b"false"
    text = b"%d " % number + b"y" * 1200
    return b'{"model":"kimi-k2.6","user":"%s","stream":%s,"messages":[{"role":"user","content":"%s"}]}' % (
        kind.encode(),
        stream,
        text,
    )


def agent_request(number: int, kind: str) -> bytes:
    """Return a request of 100 KB whose messages but the last were sent before, as agents do."""
    history = b",".join(
        b'{"role":"%s","content":"%d %s"}' % (b"user" if at % 2 else b"assistant", at, b"z" * HISTORY_MESSAGE_BYTES)
        for at in range(HISTORY_MESSAGES)
    )
    last = b'{"role":"user","content":"%d %s"}' % (number, b"q" * 200)
    return b'{"model":"kimi-k2.6","user":"%s","messages":[%s,%s]}' % (kind.encode(), history, last)


@dataclass(frozen=True, slots=True)
class Load:
    """A kind of call: its request by number, and the writes of its answer."""

    request: Callable[[int, str], bytes]
    answer: list[bytes]


LOADS = {
    "json": Load(short_request, plain_answer(completion(800))),
    "stream20": Load(short_request, stream_answer(20)),
    "stream200": Load(short_request, stream_answer(200)),
    "agent": Load(agent_request, plain_answer(completion(10_000))),
}
ANSWERS = {kind.encode(): load.answer for kind, load in LOADS.items()}


class Reader(asyncio.BufferedProtocol):
    """Read without the 256 KB that asyncio makes room for at each read of an ordinary protocol."""

    room = memoryview(bytearray(256 * 1024))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for reading."""
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        """Handle the bytes read."""
        self.data_received(bytes(self.room[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Handle some bytes."""
        raise NotImplementedError


class Upstream(Reader):
    """Answer every request at once, with the answer of its kind."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer the requests that are complete."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = content_length(self.buffer[:end])
            if len(self.buffer) < end + 4 + length:
                return
            kind = KIND.search(self.buffer, end + 4)
            self.buffer = self.buffer[end + 4 + length :]
            for piece in ANSWERS[kind[1] if kind else b"json"]:
                self.transport.write(piece)


class Client(Reader):
    """Make calls on one connection, each after the answer to the one before."""

    def __init__(self, port: int, numbers: range, kind: str, done: "asyncio.Future[list[float]]") -> None:
        self.port = port
        self.numbers = iter(numbers)
        self.kind = kind
        self.done = done
        self.request = LOADS[kind].request(0, kind)
        self.parts: list[bytes] = []
        self.missing: int | None = None
        """Remaining bytes of the answer: None before its headers, -1 if its length is unknown."""
        self.began = 0.0
        self.seconds: list[float] = []
        """How long each call took."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make the first call."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.call()

    def call(self) -> None:
        """Make the next call, if there is one left."""
        number = next(self.numbers, None)
        if number is None:
            self.transport.close()
            self.done.set_result(self.seconds)
            return
        body = LOADS[self.kind].request(number, self.kind) if self.kind != "agent" else self.numbered(number)
        self.parts, self.missing = [], None
        self.began = time.perf_counter()
        self.transport.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer sk-0123456789abcdef\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (self.port, len(body)) + body
        )

    def numbered(self, number: int) -> bytes:
        """Return the long request with another last message, without rebuilding the history."""
        start = self.request.rindex(b'{"role":"user"')
        return self.request[:start] + b'{"role":"user","content":"%d %s"}]}' % (number, b"q" * 200)

    def data_received(self, data: bytes) -> None:
        """Make the next call once the answer is complete."""
        self.parts.append(data)
        if self.missing is None:
            whole = b"".join(self.parts)
            end = whole.find(b"\r\n\r\n")
            if end < 0:
                return
            if b" 200 " not in whole[:15]:
                self.done.set_exception(SystemExit(whole.decode()))
                return
            head = whole[:end]
            is_chunked = b"chunked" in head.lower()
            self.missing = -1 if is_chunked else end + 4 + content_length(head) - len(whole)
        elif self.missing > 0:
            self.missing -= len(data)
        if self.missing == 0 or (self.missing == -1 and ends_chunked(self.parts)):
            self.seconds.append(time.perf_counter() - self.began)
            self.call()

    def connection_lost(self, error: Exception | None) -> None:
        """Fail if the answer was incomplete."""
        if not self.done.done():
            self.done.set_exception(SystemExit(f"a connection broke in midst of an answer: {error}"))


def content_length(head: bytes) -> int:
    """Return the length in the headers, 0 if there is none."""
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def ends_chunked(parts: list[bytes]) -> bool:
    """Return whether a chunked answer has ended."""
    last = parts[-1]
    return (last if len(last) >= 7 else b"".join(parts[-7:])).endswith(b"\r\n0\r\n\r\n")


async def upstream(port: int) -> None:
    """Serve forever."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


async def client(port: int, connections: int, calls: int, kind: str) -> dict[str, float]:
    """Return the calls per second over all connections, and the milliseconds that half of the calls took at most."""
    loop = asyncio.get_running_loop()
    each = calls // connections
    started = time.perf_counter()
    futures = [loop.create_future() for _ in range(connections)]
    for at, future in enumerate(futures):
        numbers = range(at * each, (at + 1) * each)
        await loop.create_connection(partial(Client, port, numbers, kind, future), "127.0.0.1", port)
    seconds = [each for some in await asyncio.gather(*futures) for each in some]
    return {"rate": len(seconds) / (time.perf_counter() - started), "p50": 1000 * median(seconds)}


if __name__ == "__main__":
    _, role, *words = sys.argv
    if role == "upstream":
        asyncio.run(upstream(int(words[0])))
    else:
        print(json.dumps(asyncio.run(client(int(words[0]), int(words[1]), int(words[2]), words[3]))))  # noqa: T201
