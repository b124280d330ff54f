"""An answer's way to its client: its head, its body through an addon's stream, its end."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

from mitmproxy.http import Response

from moonpalace_addons.calls.control import HEARTBEAT
from moonpalace_addons.engine import framing


class Sink(Protocol):
    """The client's connection."""

    is_half_closed: bool

    def write(self, data: bytes) -> None:
        """Send something."""
        ...  # pragma: no cover


class Delivery:
    """Write one answer. `begun` tells whether the client has got something of it, `closes` whether it is the last."""

    def __init__(self, client: Sink, method: bytes, version: bytes, *, closes: bool, keeps: bool) -> None:
        self.client = client
        self.method = method
        self.version = version
        self.closes = closes
        self.keeps = keeps
        """What is streamed is kept, for whoever looks at the flow later."""
        self.begun = False
        self.body: framing.Body | None = None
        self.in_stream = False
        """An addon's stream is just being called."""
        self._kept: list[bytes] = []
        self._stream: Callable[[bytes], object] | None = None
        self._together: Callable[[Sequence[bytes]], Sequence[bytes]] | None = None

    @property
    def ends_connection(self) -> bool:
        """Tell whether the end of the answer is that of the connection."""
        return self.body is not None and self.body.ends_connection

    def begin(self, response: Response) -> None:
        """Begin to stream an answer, through its addon if it has one."""
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
        self.client.write(data + rest if len(rest) < framing.LARGE else data)
        if len(rest) >= framing.LARGE:
            self.client.write(rest)

    def whole(self, response: Response) -> None:
        """Write an answer that is all there."""
        body, rest = framing.no_body(response, self.method), b""
        if body is None:
            body = framing.whole_body(response, self.version)
            rest = body.encode([response.data.content or b""]) + body.end(response.data.trailers)
        self._head(response, body, rest)

    def pieces(self, pieces: Sequence[bytes]) -> None:
        """Pass on what an addon makes of pieces."""
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

    def beat(self) -> None:
        """Have an addon's stream return something while the API is silent."""
        self._tell(HEARTBEAT)

    def last(self, response: Response) -> None:
        """Tell an addon's stream of the end, and pass on what it still has."""
        self._tell(b"")
        if self.keeps:
            response.data.content = b"".join(self._kept)

    def _tell(self, data: bytes) -> None:
        if self._stream is None:
            return
        self.in_stream = True
        try:
            changed = as_pieces(self._stream(data))
        finally:
            self.in_stream = False
        self.pass_on(changed)

    def pass_on(self, pieces: Sequence[bytes]) -> None:
        """Write pieces of a stream as they are."""
        if not pieces or self.body is None:
            return
        if self.keeps:
            self._kept += pieces
        if data := self.body.encode(pieces):
            self.client.write(data)

    def cut_short(self) -> None:
        """Take it that the end comes before what was promised; that of the connection says so."""
        if self.body is not None and self.body.left:
            self.closes = True
            self.body.left = None

    def end(self, response: Response) -> None:
        """Write the end."""
        if self.body is not None and (data := self.body.end(response.data.trailers)):
            self.client.write(data)

    def own(self, status: int, body: bytes) -> None:
        """Write a whole answer of our own, the last one of the connection."""
        self.begun = self.closes = True
        self.client.write(framing.plain_answer(status, body, with_body=self.method != b"HEAD"))


def as_pieces(result: object) -> Sequence[bytes]:
    """Return what a stream's callable has returned as pieces; an empty one would end the client's transfer."""
    if isinstance(result, bytes):
        return [result] if result else []
    return [piece for piece in cast(Iterable[bytes] | None, result) or () if piece]
