"""Peers that send without end, as processes of their own: run `serve` for an upstream, `send NAME …` for a client.

Only the standard library is used, so that such a process starts at once, and each connection of the upstream has a
process of its own, so that what it sends without end holds up none of its other answers.
"""

import contextlib
import json
import select
import signal
import socket
import socketserver
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

BLOCK = 65_536
PATIENCE = 10.0
"""Seconds to wait for the beginning of an answer."""
ORDINARY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    }
).encode()
ORDINARY_REQUEST = b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}'


@dataclass(frozen=True)
class Endless:
    """The data that a peer sends: a beginning, and then the same block repeatedly."""

    start: bytes
    block: bytes

    def chunks(self, most: int) -> Iterator[bytes]:
        """Yield the data in large pieces, at least `most` bytes."""
        yield self.start
        piece = self.block * max(1, BLOCK // len(self.block))
        for _ in range(0, most, len(piece)):
            yield piece


def chunk(data: bytes) -> bytes:
    """Return a chunk of a chunked transfer."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True)
class Zipped(Endless):
    """Chunks that are a gzip member each, of the block again and again: hardly longer than a thousandth of it."""

    def chunks(self, most: int) -> Iterator[bytes]:
        """Iterate over what is sent."""
        return Endless(self.start, chunk(zipped(self.block * (1_000_000 // len(self.block)), 50))).chunks(most)


def zipped(data: bytes, times: int) -> bytes:
    """Return a gzip member with repeated data, compressed once: compressing all takes as long as a test."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)  # and refers to nothing before it
    checksum = reduce(lambda found, _: zlib.crc32(data, found), range(times), 0)
    trailer = checksum.to_bytes(4, "little") + (len(data) * times).to_bytes(4, "little")
    return b"\x1f\x8b\x08" + bytes(7) + packed * times + packer.flush() + trailer


def frame(data: bytes, *, mask: bytes = b"", is_zipped: bool = False) -> bytes:
    """Return a WebSocket's text message in one frame; a `mask` is one of zeros, which changes nothing."""
    if is_zipped:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return bytes([0xC1 if is_zipped else 0x81, 127 | 128 * bool(mask)]) + len(data).to_bytes(8) + mask + data


CHAT = "/v1/chat/completions"
POST = b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LENGTH = POST + b"Content-Length: %d\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
X = b"x" * BLOCK

UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
KEY = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
WEBSOCKET = b"GET /v1/responses HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + KEY
ASKED = b'{"type":"response.create","model":"m","input":"Hello"}'

CLIENTS = {
    "request line": Endless(b"GET /", b"x"),
    "header": Endless(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ", b"x"),
    "headers": Endless(b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X-Many: 1\r\n"),
    "blank lines": Endless(b"", b"\r\n"),
    "body": Endless(LENGTH % 10**15, X),
    "body of declared size": Endless(LENGTH % 99_000_000_000, X),
    "chunks": Endless(CHUNKED, chunk(X)),
    "tiny chunks": Endless(CHUNKED, chunk(b"x")),
    "line of a chunk": Endless(CHUNKED + b"1;", b"x"),
    "trailers": Endless(CHUNKED + b"0\r\n", b"X-Many: 1\r\n"),
    "WebSocket messages": Endless(WEBSOCKET + b"\r\n", frame(ASKED, mask=bytes(4))),
    "ahead of the answer": Endless(LENGTH % len(ORDINARY_REQUEST) + ORDINARY_REQUEST, b"y"),
}

OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b"Content-Type: application/json\r\n"
EVENTS = OK + b"Content-Type: text/event-stream\r\n"
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = b"Content-Encoding: gzip\r\n" + CHUNKS
DELTA = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'

ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\n" + UPGRADE + ACCEPT
DEFLATE = SWITCH + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"

UPSTREAMS = {
    "status line": Endless(b"HTTP/1.1 200 ", b"x"),
    "header": Endless(OK + b"X-Long: ", b"x"),
    "headers": Endless(OK, b"X-Many: 1\r\n"),
    "1xx": Endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "body": Endless(OK + b"Content-Length: %d\r\n\r\n" % 10**15, X),
    "body until close": Endless(OK + b"\r\n", X),
    "chunks": Endless(OK + CHUNKS, chunk(X)),
    "tiny chunks": Endless(OK + CHUNKS, chunk(b"x")),
    "line of a chunk": Endless(OK + CHUNKS + b"1;", b"x"),
    "trailers": Endless(OK + CHUNKS + b"0\r\n", b"X-Many: 1\r\n"),
    "JSON": Endless(JSON + b'Content-Length: %d\r\n\r\n{"a":"' % 10**15, X),
    "JSON in chunks": Endless(JSON + CHUNKS + chunk(b'{"a":"'), chunk(X)),
    "blanks before JSON": Endless(JSON + CHUNKS, chunk(b" " * 100)),
    "error": Endless(JSON.replace(b"200 OK", b"400 Bad") + CHUNKS + chunk(b'{"error":"'), chunk(X)),
    "events": Endless(EVENTS + CHUNKS, chunk(DELTA)),
    "tiny events": Endless(EVENTS + CHUNKS, chunk(b"data:1\n\n" * 512)),
    "events without line ends": Endless(EVENTS + CHUNKS + chunk(b"data: "), chunk(X)),
    "tool calls": Endless(
        EVENTS + CHUNKS, chunk(b'data: {"choices":[{"delta":{"tool_calls":[{},{},{},{},{},{},{},{},{}]}}]}\n\n')
    ),
    "gzip of JSON": Zipped(JSON + GZIP, b"[[],{}],"),
    "gzip of events": Zipped(EVENTS + GZIP, DELTA),
    "gzip of tiny events": Zipped(EVENTS + GZIP, b"data:1\n\n"),
    "gzip of an error": Zipped(JSON.replace(b"200 OK", b"400 Bad") + GZIP, b"prompt_cache_key "),
    "WebSocket messages": Endless(SWITCH + b"\r\n", frame(DELTA)),
    "WebSocket message": Endless(SWITCH + b"\r\n\x81\x7f" + (2**62).to_bytes(8), X),
    "zipped WebSocket messages": Endless(DEFLATE, frame(b"word " * 600_000, is_zipped=True)),
    "after the answer": Endless(JSON + b"Content-Length: 2\r\n\r\n{}", b"y"),
}


class Upstream(socketserver.BaseRequestHandler):
    """Answer ordinary calls, and without end those whose `X-Endless` names how; `X-Most` bytes at most."""

    def handle(self) -> None:
        """Serve one connection."""
        with contextlib.suppress(OSError), self.request.makefile("rb") as stream:
            while line := stream.readline():
                headers = {"path": line.decode("latin-1")}
                while (line := stream.readline().strip()) != b"":
                    name, _, value = line.decode("latin-1").partition(":")
                    headers[name.lower()] = value.strip()
                stream.read(int(headers.get("content-length", "0")))
                name = headers.get("x-endless", "")
                if name:
                    for piece in UPSTREAMS[name].chunks(int(headers["x-most"])):
                        self.request.sendall(piece)
                    return
                if "upgrade" in headers:
                    self.request.sendall(SWITCH + b"\r\n")
                    while self.request.recv(BLOCK):
                        pass
                    return
                self.request.sendall(JSON + b"Content-Length: %d\r\n\r\n%b" % (len(ORDINARY), ORDINARY))


class Server(socketserver.ForkingMixIn, socketserver.TCPServer):
    """An upstream whose connections have a process each."""

    allow_reuse_address = True
    request_queue_size = 100
    max_children = 200


def serve() -> None:
    """Serve on a free port, which is printed, until the standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Server(("127.0.0.1", 0), Upstream) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.timeout = 0.2
        while not select.select([sys.stdin], [], [], 0)[0]:
            server.handle_request()


def send(name: str, port: int, most: int, seconds: float) -> bytes:
    """Act as a client that sends without end; return the beginning of the answer."""
    got, ends = b"", time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with contextlib.suppress(OSError):
            for piece in CLIENTS[name].chunks(most):
                connection.sendall(piece)
                if time.monotonic() > ends:
                    break
        connection.settimeout(PATIENCE)  # what it has sent may still have to be read
        with contextlib.suppress(OSError):
            while len(got) < 1000 and (data := connection.recv(1000)):
                connection.settimeout(1.0)
                got += data
    return got


def receive(name: str, port: int, most: int, seconds: float) -> bytes:
    """Act as a client that receives without end; return the beginning of the answer."""
    got, ends = b"", time.monotonic() + seconds
    is_websocket = UPSTREAMS[name].start.startswith(SWITCH)
    request = WEBSOCKET if is_websocket else LENGTH.removesuffix(b"\r\n") % len(ORDINARY_REQUEST)
    request += b"X-Endless: %b\r\nX-Most: %d\r\n\r\n" % (name.encode(), most)
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(request + (b"" if is_websocket else ORDINARY_REQUEST))
        with contextlib.suppress(OSError):
            while (left := ends - time.monotonic()) > 0:
                connection.settimeout(left)
                data = connection.recv(1_000_000)
                if not data:
                    break
                got += data[: max(0, 10_000 - len(got))]
        connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            got = got or connection.recv(10_000)  # on a busy machine nothing may have come in the time
    return got


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        be = {"send": send, "receive": receive}[sys.argv[1]]
        sys.stdout.buffer.write(be(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])))
