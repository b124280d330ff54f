"""Incremental decoders of one HTTP content coding: gzip, deflate, br or zstd.

Each yields decoded pieces of bounded size, so that the caller can stop before a few bytes of input have become
gigabytes of output.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import brotli  # type: ignore[import-untyped]
import zstandard

_PIECE_SIZE = 64 * 1024
# zlib copies the rest after a gzip member, so slices bound the cost of many tiny members.
_ZLIB_SLICE = 4 * 1024
# brotli loses the output of the call that fails; small calls lose little.
_BROTLI_SLICE = 1024
# zstandard cannot bound the output of a call; 4 bytes of input yield at most 128 KiB.
_ZSTD_SLICE = 256

_ZLIB_WRAPPER, _GZIP_WRAPPER, _NO_WRAPPER = 15, 31, -15


class BrokenError(Exception):
    """Raised for bytes that violate their coding; the message describes the error."""


class Coding(Protocol):
    """The decoder of one coding."""

    @property
    def is_complete(self) -> bool:
        """Return whether the body may end here: before its first byte or after a last one."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decodes to, in non-empty pieces; raise `BrokenError` where decoding fails."""


class Gzip:
    """Decode RFC 1952: any number of members; NUL bytes after a member are padding."""

    def __init__(self) -> None:
        self._inflater: zlib._Decompress | None = None
        self._has_member = False

    @property
    def is_complete(self) -> bool:
        """Return whether no member is open."""
        return self._inflater is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield decoded pieces."""
        for part in _slices(data, _ZLIB_SLICE):
            rest = part
            while rest := rest.lstrip(b"\0") if self.is_complete and self._has_member else rest:
                inflater = self._inflater or zlib.decompressobj(_GZIP_WRAPPER)
                self._inflater = inflater
                yield from _inflate(inflater, rest)
                rest = inflater.unused_data
                if inflater.eof:
                    self._inflater = None
                    self._has_member = True


class Deflate:
    """Decode RFC 1950, or the bare RFC 1951 that some servers send under the same name."""

    def __init__(self) -> None:
        self._inflater: zlib._Decompress | None = None
        self._head = b""

    @property
    def is_complete(self) -> bool:
        """Return whether the last block has arrived, or nothing yet."""
        return self._inflater.eof if self._inflater else not self._head

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield decoded pieces."""
        if self._inflater is None:
            self._head += data
            if len(self._head) < 2:
                return
            data, self._head = self._head, b""
            self._inflater = zlib.decompressobj(_ZLIB_WRAPPER if _has_zlib_header(data) else _NO_WRAPPER)
        for part in _slices(data, _ZLIB_SLICE):
            if self._inflater.eof:
                raise BrokenError("deflate: data after the end")
            yield from _inflate(self._inflater, part)
            if self._inflater.unused_data:
                raise BrokenError("deflate: data after the end")


class Brotli:
    """Decode RFC 7932."""

    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()
        self._has_input = False

    @property
    def is_complete(self) -> bool:
        """Return whether the last block has arrived, or nothing yet."""
        return not self._has_input or bool(self._decompressor.is_finished())

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield decoded pieces."""
        for part in _slices(data, _BROTLI_SLICE):
            if self._has_input and self.is_complete:
                raise BrokenError("br: data after the end")
            self._has_input = True
            piece = self._process(part)
            while piece:
                yield piece
                piece = self._process(b"")

    def _process(self, data: bytes) -> bytes:
        try:
            piece: bytes = self._decompressor.process(data, output_buffer_limit=_PIECE_SIZE)
        except brotli.error as error:
            raise BrokenError(f"br: {error}") from error
        return piece


class Zstd:
    """Decode RFC 8878: any number of frames, including skippable ones."""

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame: zstandard.ZstdDecompressionObj | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether no frame is open."""
        return self._frame is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield decoded pieces."""
        for part in _slices(data, _ZSTD_SLICE):
            rest = part
            while rest:
                frame = self._frame = self._frame or self._decompressor.decompressobj()
                try:
                    piece = frame.decompress(rest)
                except zstandard.ZstdError as error:
                    raise BrokenError(f"zstd: {error}") from error
                if piece:
                    yield piece
                rest = frame.unused_data
                if frame.eof:
                    self._frame = None


CODINGS: Mapping[str, Callable[[], Coding]] = {
    "gzip": Gzip,
    "x-gzip": Gzip,
    "deflate": Deflate,
    "br": Brotli,
    "zstd": Zstd,
}


def _slices(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _inflate(inflater: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    while True:
        before = inflater.copy()
        try:
            piece = inflater.decompress(data, _PIECE_SIZE)
        except zlib.error as error:
            yield from _salvage(before, data)
            raise BrokenError(f"zlib: {error}") from error
        if piece:
            yield piece
        data = inflater.unconsumed_tail
        # A full piece may have left output inside zlib though no input is left.
        if inflater.eof or (not data and len(piece) < _PIECE_SIZE):
            return


def _salvage(inflater: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    # The call that fails returns none of the output before the error, so that part is decoded again.
    for byte in _slices(data, 1):
        try:
            piece = inflater.decompress(byte)
        except zlib.error:
            return
        if piece:
            yield piece


def _has_zlib_header(head: bytes) -> bool:
    # A bare stream begins like this only if a stored block has non-zero padding, which no encoder writes.
    return head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2]) % 31 == 0
