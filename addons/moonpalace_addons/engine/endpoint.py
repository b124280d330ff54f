"""A connection whose methods may be called at any time, also once it is lost.

asyncio's TLS transport raises AttributeError for nearly every call after a second `close()`, and ignores `abort()`.
"""

import asyncio
from typing import Any, cast

from moonpalace_addons.engine.receiving import Receiver

type Data = bytes | bytearray | memoryview[Any]


class NoTransport(asyncio.Transport):
    """The transport of a connection that is not made yet, or is lost: it ignores everything."""

    def is_closing(self) -> bool:  # noqa: D102 - these are asyncio's
        return True

    def get_write_buffer_size(self) -> int:  # noqa: D102
        return 0

    def can_write_eof(self) -> bool:  # noqa: D102
        return False

    def write(self, data: Data) -> None: ...  # noqa: D102
    def pause_reading(self) -> None: ...  # noqa: D102
    def resume_reading(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102
    def abort(self) -> None: ...  # noqa: D102


NO_TRANSPORT = NoTransport()


class Endpoint(Receiver):
    """Base of the connections to clients and to the API."""

    transport: asyncio.Transport = NO_TRANSPORT
    is_gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Replace the transport."""
        self.is_gone = True
        self.transport.close()  # after an abort, asyncio's transport refers to itself until it is closed
        self.transport = NO_TRANSPORT

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes not yet sent; 0 once the connection is lost."""
        protocol = getattr(self.transport, "_ssl_protocol", None)
        below = getattr(protocol, "_transport", None)  # asyncio's TLS does not count what it has encrypted
        return self.transport.get_write_buffer_size() + (below.get_write_buffer_size() if below is not None else 0)

    def close(self) -> None:
        """Close the connection once pending data is sent."""
        if not self.transport.is_closing():
            self.transport.close()

    def abort(self) -> None:
        """Close the connection immediately, discarding pending data."""
        self.transport.abort()
