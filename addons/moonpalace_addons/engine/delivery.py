"""Write an answer to its client: its head, its body through an addon's stream, and its end."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

from mitmproxy.http import Response

from moonpalace_addons.calls.control import HEARTBEAT
from moonpalace_addons.engine import framing


class Sink(Protocol):
    """The client's connection."""

    is_half_closed: bool

    def write(self, data: bytes) -> None:
        """Send data."""
        ...  # pragma: no cover


class Delivery:
    """Writer of one answer.

    `begun` tells whether part of it has been written, `closes` whether the connection is closed after it.
    """

    begun = False
    body: framing.Body | None = None
    in_stream = False
    """Whether an addon's stream is being called."""
    _stream: Callable[[bytes], object] | None = None
    _together: Callable[[Sequence[bytes]], Sequence[bytes]] | None = None

    def __init__(self, client: Sink, method: bytes, version: bytes, *, closes: bool, keeps: bool) -> None:
        self.client = client
        self.method = method
        self.version = version
        self.closes = closes
        self.keeps = keeps
        """Whether streamed content is also stored in the flow, for other addons."""
        self._kept: list[bytes] = []

    @property
    def ends_connection(self) -> bool:
        """Tell whether the answer ends with the connection."""
        return self.body is not None and self.body.ends_connection

    def begin(self, response: Response) -> None:
        """Start streaming an answer, through its addon's stream if there is one."""
        if callable(response.stream):
            self._stream = response.stream
            self._together = getattr(response.stream, "together", None)
        self._head(
            response, framing.no_body(response, self.method) or framing.streamed_body(response, self.version), b""
        )

    def _head(self, response: Response, body: framing.Body, rest: bytes) -> None:
        self.body = body
        self.closes = self.closes or body.ends_connection or self.client.is_half_closed
        connection = b"close" if self.closes else b"keep-alive" if self.version == b"HTTP/1.0" else None
        data = framing.response_head(response, body.line, connection)
        self.begun = True
        self.client.write(data + rest if len(rest) < framing.LARGE_BODY_SIZE else data)
        if len(rest) >= framing.LARGE_BODY_SIZE:
            self.client.write(rest)

    def write_complete(self, response: Response) -> None:
        """Write a complete answer."""
        body, rest = framing.no_body(response, self.method), b""
        if body is None:
            body, rest = framing.whole_body(response, self.version)
        self._head(response, body, rest)

    def write(self, pieces: Sequence[bytes]) -> None:
        """Write pieces of a stream, as changed by its addon."""
        if self._stream is None:
            self.pass_on(pieces)
            return
        self.in_stream = True
        try:
            if self._together is not None:
                changed = self._together(pieces)
            else:
                changed = [out for piece in pieces for out in as_pieces(self._stream(piece))]
        finally:
            self.in_stream = False
        self.pass_on(changed)

    def heartbeat(self) -> None:
        """Call the addon's stream with a heartbeat, and write what it returns."""
        self._call_stream(HEARTBEAT)

    def flush(self, response: Response) -> None:
        """Call the addon's stream with the end, and write what it returns."""
        self._call_stream(b"")
        if self.keeps:
            response.data.content = b"".join(self._kept)

    def _call_stream(self, data: bytes) -> None:
        if self._stream is None:
            return
        self.in_stream = True
        try:
            changed = as_pieces(self._stream(data))
        finally:
            self.in_stream = False
        self.pass_on(changed)

    def pass_on(self, pieces: Sequence[bytes]) -> None:
        """Write pieces of a stream unchanged."""
        if not pieces or self.body is None:
            return
        if self.keeps:
            self._kept += pieces
        if data := self.body.encode(pieces):
            self.client.write(data)

    def truncate(self) -> None:
        """Allow a body shorter than its Content-Length, by closing the connection after it."""
        if self.body is not None and self.body.left:
            self.closes = True
            self.body.left = None

    def end(self, response: Response) -> None:
        """Write the end of the body."""
        if self.body is not None and (data := self.body.end(response.data.trailers)):
            self.client.write(data)

    def write_error(self, status: int, body: bytes) -> None:
        """Write a complete answer of our own, and close the connection after it."""
        self.begun = self.closes = True
        self.client.write(framing.plain_answer(status, body, with_body=self.method != b"HEAD"))


def as_pieces(result: object) -> Sequence[bytes]:
    """Return the result of a stream's callable as non-empty pieces: an empty one would end a chunked body."""
    if isinstance(result, bytes):
        return [result] if result else []
    return [piece for piece in cast(Iterable[bytes] | None, result) or () if piece]
