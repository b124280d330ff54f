"""An upstream that writes the time into each event of a stream, and a client that reads how old they are.

Each is to run in a process of its own. The clock is the monotonic one, which all processes of a machine share.
"""

import asyncio
import json
import re
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
    """Return data as one chunk of a transfer."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class Upstream(asyncio.Protocol):
    """Answer each request with a stream of as many events as it asks for, that many seconds apart."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""
        self.loop = asyncio.get_running_loop()

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
        self.transport.write(HEAD)
        self.send(1, self.loop.time())

    def send(self, number: int, due: float) -> None:
        """Send an event; the next one is due a pause after this one was, however late this one is."""
        if self.transport.is_closing():
            return
        if number > self.events:
            self.transport.write(chunk(LAST) + b"0\r\n\r\n")
            return
        self.transport.write(chunk((EVENT % (number, time.monotonic_ns())).encode()))
        self.loop.call_at(due + self.pause, self.send, number + 1, due + self.pause)


@dataclass
class Stream:
    """What came of one stream: the moments at which events were sent, and how old they were, in nanoseconds."""

    sent: list[int] = field(default_factory=list)
    ages: list[int] = field(default_factory=list)
    in_order: bool = True
    complete: bool = False


async def read(port: int, events: int, pause: float) -> Stream:
    """Ask for one stream and read it to the end of the transfer."""
    body = json.dumps({"model": "kimi-k2.6", "stream": True, "messages": [], "events": events, "pause": pause}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer sk-0123456789abcdef\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (port, len(body)) + body
    )
    found = Stream()
    rest = b""
    while not rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") and (data := await reader.read(1 << 16)):
        now = time.monotonic_ns()
        rest += data
        end = 0
        for stamp in STAMP.finditer(rest):
            end = stamp.end()
            found.in_order &= int(stamp[1]) == len(found.sent) + 1
            found.sent.append(int(stamp[2]))
            found.ages.append(now - int(stamp[2]))
        rest = rest[end:]
    found.complete = bool(rest) and len(found.sent) == events
    writer.close()
    return found


def summary(streams: list[Stream]) -> dict[str, object]:
    """Return percentiles of the events' ages in seconds, of all and of those sent once every stream had begun."""
    begun = max((stream.sent[0] for stream in streams if stream.sent), default=0)
    every = [(sent, age) for stream in streams for sent, age in zip(stream.sent, stream.ages, strict=True)]
    return {
        "complete": sum(stream.complete for stream in streams),
        "in order": sum(stream.in_order for stream in streams),
        "events": len(every),
        "all": percentiles([age for _, age in every]),
        "under way": percentiles([age for sent, age in every if sent > begun]),
    }


def percentiles(ages: list[int]) -> list[float]:
    """Return the median and the 99th percentile in seconds."""
    ages.sort()
    return [ages[int(share * (len(ages) - 1))] / 1e9 for share in PERCENTILES] if ages else []


async def serve() -> None:
    """Print the port and serve for ever."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


async def ask(port: int, streams: int, events: int, pause: float) -> None:
    """Read streams at once and print their summary as JSON."""
    found = await asyncio.gather(*(read(port, events, pause) for _ in range(streams)))
    print(json.dumps(summary(found)))  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1] == "upstream":
        asyncio.run(serve())
    else:
        asyncio.run(ask(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])))
