"""Reading into a buffer shared by all connections."""

from moonpalace_addons.engine.receiving import Receiver, make_buffer


class Received(Receiver):
    """Keep what comes."""

    def __init__(self, buffer: memoryview) -> None:
        super().__init__(buffer)
        self.pieces: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self.pieces.append(data)


def test_what_was_read_stays() -> None:
    """Data of one connection is not changed by the reads of another."""
    buffer = make_buffer()
    first, second = Received(buffer), Received(buffer)
    for receiver, data in ((first, b"abc"), (second, b"defg"), (first, b"h")):
        memoryview(receiver.get_buffer(-1))[: len(data)] = data
        receiver.buffer_updated(len(data))
    assert first.pieces == [b"abc", b"h"]
    assert second.pieces == [b"defg"]
