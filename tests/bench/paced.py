"""An upstream that writes the time into each event of a stream, and a client that reads how old they are.

Each is to run in a process of its own. The clock is the monotonic one, which all processes of a machine share.
"""

import asyncio
import gc
import heapq
import json
import re
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = (
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"kimi-k2.6",'
    '"choices":[{"index":0,"delta":{"content":"%d at %d "},"finish_reason":null}]}\n\n'
)
LAST = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"kimi-k2.6",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
STAMP = re.compile(rb'"content":"(\d+) at (\d+) "')
PERCENTILES = (0.5, 0.99)


def chunk(data: bytes) -> bytes:
    """Return data as one chunk of a chunked transfer."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class Pacer:
    """Send the events of all streams when they are due, by one timer.

    What measures must cost less than what it measures.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.waiting: list[tuple[float, int, Upstream]] = []
        self.begun = 0

    def begin(self, stream: "Upstream") -> None:
        """Send the first event of a stream, and each further one a pause after the previous one was due."""
        self.begun += 1
        heapq.heappush(self.waiting, (self.loop.time(), self.begun, stream))
        if self.begun == 1:
            self.send()

    def send(self) -> None:
        """Send the due events, repeatedly, once the first stream has begun."""
        now = self.loop.time()
        while self.waiting and self.waiting[0][0] <= now:
            due, number, stream = self.waiting[0]
            if stream.send():
                heapq.heapreplace(self.waiting, (due + stream.pause, number, stream))
            else:
                heapq.heappop(self.waiting)
        self.loop.call_later(0.001, self.send)


class Upstream(asyncio.Protocol):
    """Answer each request with a stream of as many events as it asks for, that many seconds apart."""

    def __init__(self, pacer: Pacer) -> None:
        self.pacer = pacer
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Begin the stream once the request is complete."""
        self.buffer += data
        head, blank, body = self.buffer.partition(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: (\d+)", head)
        if not blank or (found and len(body) < int(found[1])):
            return
        self.buffer = b""
        asked = json.loads(body)
        self.events, self.pause = int(asked["events"]), float(asked["pause"])
        self.sent = 0
        self.transport.write(HEAD)
        self.pacer.begin(self)

    def send(self) -> bool:
        """Send the next event; return whether there is another one."""
        if self.transport.is_closing():
            return False
        if self.sent == self.events:
            self.transport.write(chunk(LAST) + b"0\r\n\r\n")
            return False
        self.sent += 1
        self.transport.write(chunk((EVENT % (self.sent, time.monotonic_ns())).encode()))
        return True


@dataclass
class Stream:
    """What came of one stream: the moments at which events were sent, and how old they were, in nanoseconds.

    `first` is how long after all had been asked for the first event came.
    """

    sent: list[int] = field(default_factory=list)
    ages: list[int] = field(default_factory=list)
    first: int = 0
    in_order: bool = True
    complete: bool = False


type Pieces = list[tuple[int, bytes]]
"""The pieces of each stream, with their times."""


def request(port: int, events: int, pause: float) -> bytes:
    """Return the request for one stream."""
    body = json.dumps({"model": "kimi-k2.6", "stream": True, "messages": [], "events": events, "pause": pause}).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer sk-0123456789abcdef\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (port, len(body)) + body
    )


def read(port: int, streams: int, asked: bytes) -> tuple[int, list[Pieces]]:
    """Ask for streams at once and read them to the ends of their transfers; they are looked into afterwards.

    Return when they were asked for, too.
    """
    selector = selectors.DefaultSelector()
    found: list[Pieces] = [[] for _ in range(streams)]
    for pieces in found:
        connection = socket.create_connection(("127.0.0.1", port))
        selector.register(connection, selectors.EVENT_READ, (connection, pieces))
    began = time.monotonic_ns()
    for key in selector.get_map().values():
        key.data[0].sendall(asked)
    while selector.get_map():
        for key, _ in selector.select():
            connection, pieces = key.data
            data = connection.recv(65536)
            pieces.append((time.monotonic_ns(), data))
            if not data or data.endswith(b"0\r\n\r\n"):
                selector.unregister(connection)
                connection.close()
    return began, found


def look_into(began: int, pieces: Pieces, events: int) -> Stream:
    """Return the result of a stream."""
    found = Stream()
    rest = b""
    for now, data in pieces:
        rest += data
        end = 0
        for stamp in STAMP.finditer(rest):
            end = stamp.end()
            found.first = found.first or now - began
            found.in_order &= int(stamp[1]) == len(found.sent) + 1
            found.sent.append(int(stamp[2]))
            found.ages.append(now - int(stamp[2]))
        rest = rest[end:]
    found.complete = rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") and len(found.sent) == events
    return found


def summary(streams: list[Stream]) -> dict[str, object]:
    """Return percentiles of the events' ages in seconds, of all and of those sent while all streams were under way."""
    begun = max((stream.sent[0] for stream in streams if stream.sent), default=0)
    ended = min((stream.sent[-1] for stream in streams if stream.sent), default=0)
    every = [(sent, age) for stream in streams for sent, age in zip(stream.sent, stream.ages, strict=True)]
    return {
        "complete": sum(stream.complete for stream in streams),
        "in order": sum(stream.in_order for stream in streams),
        "events": len(every),
        "all": percentiles([age for _, age in every]),
        "first": percentiles([stream.first for stream in streams]),
        "under way": percentiles([age for sent, age in every if begun < sent < ended]),
    }


def percentiles(ages: list[int]) -> list[float]:
    """Return the median and the 99th percentile in seconds."""
    ages.sort()
    return [ages[int(share * (len(ages) - 1))] / 1e9 for share in PERCENTILES] if ages else []


async def serve() -> None:
    """Print the port and serve forever."""
    pacer = Pacer()
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(pacer), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


def ask(port: int, streams: int, events: int, pause: float) -> None:
    """Read streams at once and print their summary as JSON."""
    began, found = read(port, streams, request(port, events, pause))
    print(json.dumps(summary([look_into(began, pieces, events) for pieces in found])))  # noqa: T201


if __name__ == "__main__":
    gc.disable()  # a collection would hold up what is measured
    if sys.argv[1] == "upstream":
        asyncio.run(serve())
    else:
        ask(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
