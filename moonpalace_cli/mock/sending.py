"""Send one answer over a connection, including the faults that its delivery asks for.

The framing is written here rather than by Tornado, which refuses to send a body shorter than announced.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import lru_cache
from http.client import responses
from typing import Literal, assert_never

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPServerRequest
from tornado.iostream import IOStream, StreamClosedError

from moonpalace_cli.mock.answers import Answer
from moonpalace_cli.mock.spelling import Piece

type Framing = Literal["length", "chunked", "close"]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, no time to send what is left


class Sending:
    """Send an answer; `sent_events` and `cut_off` describe how far it got.

    `recorded` is called once, before the last bytes are sent or when nothing more can be.
    """

    def __init__(
        self,
        request: HTTPServerRequest,
        connection: HTTP1Connection,
        answer: Answer,
        recorded: Callable[["Sending"], None],
    ) -> None:
        self.answer = answer
        self.sent_events = 0
        self.cut_off = False
        self._request = request
        self._connection = connection
        self._stream: IOStream = connection.stream
        self._framing = _framing(request, answer)
        self._recorded = recorded
        self._ended = False

    def is_simple(self) -> bool:
        """Return whether the whole answer can be sent in one write, without waiting."""
        delivery = self.answer.delivery
        return self._framing == "length" and delivery.ending == "clean" and not delivery.before_headers

    def send_at_once(self) -> None:
        """Send a simple answer in one write."""
        self._record()
        self._connection.write(self._head() + self._body())
        self._connection.finish()

    async def send(self) -> None:
        """Send the answer with all its pauses; return when it is sent or the client has left."""
        delivery = self.answer.delivery
        try:
            await asyncio.sleep(delivery.before_headers)
            if delivery.ending != "mute":
                # Events are small: Nagle's algorithm, which Tornado leaves on, would hold back every second one.
                self._stream.set_nodelay(True)
                await self._stream.write(self._head())
                await (self._send_body() if self.answer.stream is None else self._send_stream(self.answer.stream))
                await asyncio.sleep(delivery.before_ending)
            await self._end()
        except StreamClosedError:
            self.client_left()

    def client_left(self) -> None:
        """Note that the client closed the connection."""
        self.cut_off = self.cut_off or not self._ended
        self._record()

    def _record(self) -> None:
        if not self._ended:
            self._ended = True
            self._recorded(self)

    async def _send_body(self) -> None:
        body = self._body()
        if self.answer.delivery.ending == "clean":
            self._record()
        else:
            body = body[: len(body) // 2]
        await self._stream.write(body)

    async def _send_stream(self, stream: Iterator[Piece]) -> None:
        delivery = self.answer.delivery
        for number, piece in enumerate(stream):
            if number:
                # Even a pause of 0 gives way to other connections, and to the notice that this one is closed.
                await asyncio.sleep(delivery.pause)
            self.sent_events = piece.events
            if piece.events == self.answer.total_events and delivery.ending == "clean":
                self._record()
            await self._stream.write(self._framed(piece.data))
            if delivery.ending != "clean" and piece.events >= delivery.stop_after:
                return

    async def _end(self) -> None:
        match self.answer.delivery.ending:
            case "clean":
                await self._end_cleanly()
            case "cut" | "mute":
                self._close()
            case "reset":
                self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                self._close()
            case "stall":
                await asyncio.Event().wait()
            case ending:
                assert_never(ending)

    async def _end_cleanly(self) -> None:
        if self._framing == "chunked":
            await self._stream.write(b"0\r\n\r\n")
        if self._framing != "close":
            self._connection.finish()
            return
        if isinstance(self._stream.socket, ssl.SSLSocket):
            # Marks the body as complete; it raises because it does not wait for the client to close.
            with contextlib.suppress(OSError):
                self._stream.socket.unwrap()
        self._close()

    def _close(self) -> None:
        self._record()
        self._connection.close()

    def _framed(self, data: bytes) -> bytes:
        if self._framing == "chunked":
            # Compression may have no output yet, and an empty chunk would end the body.
            return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return data

    def _body(self) -> bytes:
        return b"" if self._request.method == "HEAD" else self.answer.body

    def _head(self) -> bytes:
        answer = self.answer
        lines = [f"HTTP/1.1 {answer.status} {responses[answer.status]}", f"Date: {_date(int(time.time()))}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        match self._framing:
            case "length":
                lines.append(f"Content-Length: {len(answer.body)}")
            case "chunked":
                lines.append("Transfer-Encoding: chunked")
            case "close":
                lines.append("Connection: close")
        wish = self._request.headers.get("Connection", "").lower()
        if self._framing != "close" and wish in {"close", "keep-alive"}:
            lines.append(f"Connection: {wish}")
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1", "replace")


def _framing(request: HTTPServerRequest, answer: Answer) -> Framing:
    if answer.delivery.until_close:
        return "close"
    if answer.stream is None:
        return "length"
    return "chunked" if request.version == "HTTP/1.1" else "close"


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
