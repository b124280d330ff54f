"""Events of the HTTP parser."""

from dataclasses import dataclass, field

from moonpalace_addons.engine.errors import CallError
from moonpalace_addons.wire.header_fields import Fields, Named


@dataclass(slots=True)
class RequestHead:
    """Request line and header fields."""

    method: bytes
    target: bytes
    version: bytes
    fields: Fields = field(repr=False)
    named: Named = field(repr=False)
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
    """Status line and header fields of an answer, or of an interim one (1xx).

    `until_close` means that the body ends with the connection.
    """

    status: int
    reason: bytes
    version: bytes
    fields: Fields = field(repr=False)
    named: Named = field(repr=False)
    length: int | None
    chunked: bool
    until_close: bool


@dataclass(slots=True)
class Pieces:
    """Non-empty pieces of a body, split as they arrived and where chunks end."""

    pieces: list[bytes]


@dataclass(slots=True)
class End:
    """The end of a message, with its trailers, and the last pieces of its body if they came with it."""

    trailers: Fields
    pieces: list[bytes]


@dataclass(slots=True)
class Switch:
    """The bytes after a request with Upgrade, or after the answer 101."""

    rest: bytes


@dataclass(slots=True)
class Malformed:
    """A parse error; nothing more can be read from the connection."""

    error: CallError


type Event = RequestHead | ResponseHead | Pieces | End | Switch | Malformed
