"""Read from sockets into a buffer that all connections of a server share.

For an ordinary protocol asyncio makes room for 256 KB at each read and gives back what was not needed, which takes six
times as long as to read and copy a few KB.
"""

import asyncio
from collections.abc import Buffer

READ_SIZE = 64 * 1024
"""Bytes that are read at once: with more, whoever sends much holds up the events of others for longer."""


def make_buffer() -> memoryview:
    """Return a buffer for the connections of one event loop."""
    return memoryview(bytearray(READ_SIZE))


class Receiver(asyncio.BufferedProtocol):
    """Read for `data_received`."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer

    def get_buffer(self, sizehint: int) -> Buffer:
        """Return where to read to: what is read is taken out before anything else is read."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take some bytes."""
        raise NotImplementedError
