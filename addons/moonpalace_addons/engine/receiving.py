"""Read from sockets into a buffer shared by all connections of a server.

For an ordinary protocol asyncio allocates 256 KB for each read and shrinks it afterwards, which takes six times as long
as reading and copying a few KB.
"""

import asyncio
from collections.abc import Buffer

READ_SIZE = 64 * 1024
"""Maximum bytes per read: larger reads let one fast sender delay the events of others for longer."""


def make_buffer() -> memoryview:
    """Return a buffer for all connections of one event loop."""
    return memoryview(bytearray(READ_SIZE))


class Receiver(asyncio.BufferedProtocol):
    """Buffered protocol that calls `data_received`."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer

    def get_buffer(self, sizehint: int) -> Buffer:
        """Return the shared buffer: its data is copied out before the next read."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Copy the data out of the buffer."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Handle received bytes."""
        raise NotImplementedError
