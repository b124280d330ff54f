"""Ways to cut a stream, for tests of code whose result must not depend on them."""

from collections.abc import Iterator


def pieces_of(data: bytes, size: int = 1) -> list[bytes]:
    """Cut a stream into pieces of `size` bytes."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def sweep(data: bytes, size: int) -> Iterator[list[bytes]]:
    """Cut a stream into pieces of `size` bytes, each time one byte further, so that every position has a cut.

    A stream of up to `size` bytes is cut in two at every position.
    """
    for first in range(1, min(size + 1, len(data))):
        yield [data[:first], *pieces_of(data[first:], size)]


def every_cut(data: bytes) -> Iterator[list[bytes]]:
    """Give a stream whole, byte by byte, and cut at every position, in pieces that hold half an event or less.

    It is read some sixty times, however long it is; what depends on longer pieces is tested with short streams.
    """
    yield [data]
    yield pieces_of(data)
    yield from sweep(data, 61)
