"""Close a connection so that its client still sees the answer, though it goes on sending.

A socket that is closed while something unread lies in it resets the connection, and the client may lose the answer that
it has not read yet (RFC 9112, section 9.6). So the end is sent, and what comes is thrown away for a while.
"""

import asyncio

LINGER = 5.0
"""Seconds for which a client may go on sending a request that has been answered."""


def linger(writer: asyncio.StreamWriter) -> None:
    """Close gently, after what is about to be written at once; whoever closes the writer meanwhile does nothing."""
    transport = writer.transport
    if isinstance(transport, asyncio.Transport):
        # Not left to mitmproxy's task that reads, which may be cancelled where it closes nothing.
        writer.close = lambda: None  # type: ignore[method-assign]
        asyncio.get_running_loop().call_soon(_Lingering.begin, writer, transport)


class _Lingering(asyncio.Protocol):
    """Throw away what still comes, until the client closes or the time is over."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer  # it would be closed at once if nobody had it
        self.behind = writer.transport.get_protocol()
        LINGERING.add(self)

    @classmethod
    def begin(cls, writer: asyncio.StreamWriter, transport: asyncio.Transport) -> None:
        """Send the end, and read on."""
        if transport.is_closing():
            return
        transport.set_protocol(cls(writer))
        try:
            transport.write_eof()
        except OSError:  # the client has left meanwhile
            transport.abort()
            return
        transport.resume_reading()
        asyncio.get_running_loop().call_later(LINGER, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Throw it away."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for the connection."""
        LINGERING.discard(self)
        self.behind.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell who writes; nobody does any more."""

    def resume_writing(self) -> None:
        """Tell who writes; nobody does any more."""


LINGERING: set[_Lingering] = set()
"""The connections that have been answered and are not closed yet."""
