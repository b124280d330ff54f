"""What is read of HTTP: the beginnings of messages, pieces of their bodies, their ends, and what cannot be read."""

from dataclasses import dataclass, field

from moonpalace_addons.engine.errors import CallError

type Fields = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class RequestHead:
    """The beginning of a request."""

    method: bytes
    target: bytes
    version: bytes
    fields: Fields = field(repr=False)
    keep_alive: bool
    length: int | None
    chunked: bool
    upgrade: bool

    @property
    def has_body(self) -> bool:
        """Tell whether a body follows."""
        return self.chunked or bool(self.length)


@dataclass(slots=True)
class ResponseHead:
    """The beginning of an answer, or an interim one (1xx). `until_close` says that nothing but its end is its end."""

    status: int
    reason: bytes
    version: bytes
    fields: Fields = field(repr=False)
    length: int | None
    chunked: bool
    until_close: bool


@dataclass(slots=True)
class Pieces:
    """Bytes of a body, cut as they came and where chunks end; none is empty."""

    pieces: list[bytes]


@dataclass(slots=True)
class End:
    """The end of a message, with its trailers."""

    trailers: Fields


@dataclass(slots=True)
class Switch:
    """The bytes after a request that asks for another protocol, or after the answer that agrees."""

    rest: bytes


@dataclass(slots=True)
class Broken:
    """What comes cannot be read any further."""

    error: CallError


type Event = RequestHead | ResponseHead | Pieces | End | Switch | Broken
