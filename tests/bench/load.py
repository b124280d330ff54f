"""A quick upstream and a quick client, each to run in a process of its own beside the proxy."""

import asyncio
import sys
import time

JSON = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"kimi-k2.6","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"' + b"x" * 800 + b'"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":300,"completion_tokens":200,"total_tokens":500}}'
)
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"kimi-k2.6",'
    b'"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
)
EVENTS = 20
REQUEST_BODY = b'{"model":"kimi-k2.6","stream":%s,"messages":[{"role":"user","content":"' + b"y" * 1200 + b'"}]}'


class Upstream(asyncio.Protocol):
    """Answer every request at once, in JSON or as a stream of `EVENTS` events."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer the requests that are complete."""
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            self.answer(streamed=b'"stream":true' in body)

    def answer(self, *, streamed: bool) -> None:
        """Write one answer."""
        common = b"HTTP/1.1 200 OK\r\nMsh-Request-Id: r\r\nServer-Timing: inner; dur=1\r\n"
        if not streamed:
            self.transport.write(
                common + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(JSON) + JSON
            )
            return
        self.transport.write(common + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(EVENTS):
            self.transport.write(b"%x\r\n%s\r\n" % (len(EVENT), EVENT))
        self.transport.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


async def upstream(port: int) -> None:
    """Serve for ever."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


async def worker(port: int, count: int, body: bytes) -> None:
    """Make `count` calls on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer sk-0123456789abcdef\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (port, len(body))
    )
    for _ in range(count):
        writer.write(head + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if b"chunked" in answer.lower():
            await reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            at = answer.lower().find(b"content-length:")
            await reader.readexactly(int(answer[at + 15 :].split(b"\r\n")[0]))
        if b" 200 " not in answer[:15]:
            raise SystemExit(answer.decode())
    writer.close()


async def client(port: int, connections: int, calls: int, *, streamed: bool) -> None:
    """Print the calls per second over all connections."""
    body = REQUEST_BODY % (b"true" if streamed else b"false")
    started = time.perf_counter()
    await asyncio.gather(*(worker(port, calls // connections, body) for _ in range(connections)))
    print(calls / (time.perf_counter() - started))  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1] == "upstream":
        asyncio.run(upstream(int(sys.argv[2])))
    else:
        asyncio.run(client(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), streamed=sys.argv[5] == "stream"))
