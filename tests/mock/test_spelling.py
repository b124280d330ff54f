"""Spelling of streams."""

import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from tests.scenarios.spelling import Encoding, OddSpelling

PAYLOADS = ['{"text":"月亮🌙"}', '{"text":"two"}', "[DONE]"]
PLAIN = [f"data: {payload}\n\n".encode() for payload in PAYLOADS]


def decoders() -> dict[Encoding, Callable[[bytes], bytes]]:
    """Return functions that decode as much as possible of the data so far."""
    return {
        "gzip": zlib.decompressobj(wbits=31).decompress,
        "deflate": zlib.decompressobj().decompress,
        "br": brotli.Decompressor().process,
        "zstd": zstandard.ZstdDecompressor().decompressobj().decompress,
    }


def test_one_piece_for_each_event() -> None:
    """Each event is a separate piece, and each piece has the number of complete events."""
    result = list(OddSpelling().pieces(PAYLOADS, 3))
    assert [piece.data for piece in result] == PLAIN
    assert [piece.events for piece in result] == [1, 2, 3]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_compressed_events_can_be_read_at_once(encoding: Encoding) -> None:
    """The decoded pieces contain each event as soon as its piece has arrived."""
    decode = decoders()[encoding]
    assert [decode(piece.data) for piece in OddSpelling(encoding=encoding).pieces(PAYLOADS, 3)] == PLAIN


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_compressed_bodies(encoding: Encoding) -> None:
    """A body compressed as a whole is decoded to the original."""
    assert decoders()[encoding](OddSpelling(encoding=encoding).encode(b"moon" * 1000)) == b"moon" * 1000
    assert len(OddSpelling(encoding=encoding).encode(b"moon" * 1000)) < 100


def test_no_encoding() -> None:
    """Without an encoding a body stays unchanged."""
    assert OddSpelling().encode(b"moon") == b"moon"


def test_split_pieces() -> None:
    """The pieces join to the stream, some begin inside a code point, and events are counted where they end."""
    result = list(OddSpelling(split=True).pieces(PAYLOADS, 3))
    assert b"".join(piece.data for piece in result) == b"".join(PLAIN)
    assert any(piece.data[0] & 0xC0 == 0x80 for piece in result)
    complete = [b"".join(piece.data for piece in result[: number + 1]).count(b"\n\n") for number in range(len(result))]
    assert [piece.events for piece in result] == complete


def test_lone_surrogates() -> None:
    """Characters that JSON can contain but UTF-8 cannot encode are replaced."""
    assert next(OddSpelling().pieces(["\ud800"], 1)).data == b"data: ?\n\n"
