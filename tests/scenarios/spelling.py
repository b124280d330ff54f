"""Odd ways to write a stream: line ends, comments, splitting and compression."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, cycle
from typing import Literal, override

import brotli  # type: ignore[import-untyped]
import zstandard

from moonpalace_cli.mock.spelling import Piece, Spelling

type Encoding = Literal["", "gzip", "deflate", "br", "zstd"]
type Asides = Literal["none", "fields", "beats"]
type Step = Callable[[bytes, bool], bytes]

SPLIT_SIZES = (5, 17, 3, 29, 1, 41, 2)  # bytes; odd sizes soon fall into a code point and into a line
_GZIP_FORMAT = 31  # zlib's name for a gzip header and trailer with the largest window


@dataclass(frozen=True, slots=True)
class OddSpelling(Spelling):
    """The spelling of a stream's events.

    `asides` are the lines beside the data: none, all possible fields, or heartbeats between the events. If `terminated`
    is false, `[DONE]` and the end of the last event are omitted; `split` cuts the bytes anywhere.
    """

    line_end: str = "\n"
    space: bool = True
    asides: Asides = "none"
    terminated: bool = True
    split: bool = False
    encoding: Encoding = ""

    @override
    def pieces(self, payloads: Iterable[str], count: int) -> Iterator[Piece]:
        events = _events(self, payloads, count)
        found = _split(events, count) if self.split else map(Piece, events, range(1, count + 1))
        if not self.encoding:
            return iter(found)
        step = _STEPS[self.encoding]()
        return (Piece(step(piece.data, piece.events == count), piece.events) for piece in found)

    @override
    def encode(self, body: bytes) -> bytes:
        return _STEPS[self.encoding]()(body, True) if self.encoding else body


def _events(spelling: OddSpelling, payloads: Iterable[str], count: int) -> Iterator[bytes]:
    end = spelling.line_end
    field = "data: " if spelling.space else "data:"
    for number, payload in enumerate(payloads, 1):
        lines = _ASIDES[spelling.asides](number)
        closing = end * 2 if spelling.terminated or number < count else ""
        yield f"{lines.replace('\n', end)}{field}{payload}{closing}".encode("utf-8", "replace")


def _fields(number: int) -> str:
    """Return the other lines of an event; only the first comment is followed by a blank line.

    After an `id:`, the openai SDK takes a blank line after a comment for an event without data, and fails.
    """
    begin = ": hb\n\nretry: 3000\n" if number == 1 else ": hb\n"
    return f"{begin}event: message\nid: {number}\n"


_ASIDES: dict[Asides, Callable[[int], str]] = {
    "none": lambda _number: "",
    "fields": _fields,
    "beats": lambda number: ": hb\n\n" * (number % 3),
}


def _split(events: Iterable[bytes], count: int) -> Iterator[Piece]:
    """Cut the joined events anywhere; each piece has the number of events that end within it or at its end."""
    written = list(events)
    ends = list(accumulate(map(len, written)))
    joined = b"".join(written)
    sizes = cycle(SPLIT_SIZES)
    start = complete = 0
    while start < len(joined):
        end = start + next(sizes)
        while complete < count and ends[complete] <= end:
            complete += 1
        yield Piece(joined[start:end], complete)
        start = end


def _zlib_step(window: int) -> Callable[[], Step]:
    def begin() -> Step:
        compressor = zlib.compressobj(wbits=window)
        return lambda data, last: (
            compressor.compress(data) + compressor.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        )

    return begin


def _brotli_step() -> Step:
    compressor = brotli.Compressor(quality=5)
    return lambda data, last: compressor.process(data) + (compressor.finish() if last else compressor.flush())


def _zstd_step() -> Step:
    compressor = zstandard.ZstdCompressor().compressobj()
    return lambda data, last: (
        compressor.compress(data)
        + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH if last else zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    )


_STEPS: dict[Encoding, Callable[[], Step]] = {
    "gzip": _zlib_step(_GZIP_FORMAT),
    "deflate": _zlib_step(zlib.MAX_WBITS),
    "br": _brotli_step,
    "zstd": _zstd_step,
}
