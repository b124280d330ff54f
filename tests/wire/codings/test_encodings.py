"""Content encodings: every coding at every cut, truncated, broken and too large."""

import gzip
import random
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire.codings.encodings import MAX_HELD, Decoder, decode
from tests.tables import for_each

TEXT = 'data: {"content": "月之暗面 moon"}\n\n'.encode() * 7


def zstd(data: bytes) -> bytes:
    return zstandard.compress(data)


def br(data: bytes) -> bytes:
    compressed: bytes = brotli.compress(data)
    return compressed


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-15)


def flushed(compress: Callable[[bytes], bytes], flush: Callable[[], bytes], finish: Callable[[], bytes]) -> bytes:
    """Compress TEXT in five pieces, each flushed, as a server that streams does."""
    step = len(TEXT) // 5 + 1
    parts = [compress(TEXT[start : start + step]) + flush() for start in range(0, len(TEXT), step)]
    return b"".join(parts) + finish()


def flushed_zlib(wbits: int) -> bytes:
    coder = zlib.compressobj(wbits=wbits)
    return flushed(coder.compress, lambda: coder.flush(zlib.Z_SYNC_FLUSH), coder.flush)


def flushed_br() -> bytes:
    coder = brotli.Compressor()
    return flushed(coder.process, coder.flush, coder.finish)


def flushed_zstd() -> bytes:
    coder = zstandard.ZstdCompressor().compressobj()
    return flushed(coder.compress, lambda: coder.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK), coder.flush)


SKIPPED_FRAME = (0x184D2A50).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"skip"

# A stored block whose padding bits make its first byte that of zlib's header, and an empty last block.
STORED = b"\x78" + len(TEXT).to_bytes(2, "little") + (len(TEXT) ^ 0xFFFF).to_bytes(2, "little") + TEXT
STORED += b"\x01\x00\x00\xff\xff"

CASES: dict[str, tuple[str | None, bytes, bytes]] = {
    "no header": (None, TEXT, TEXT),
    "an empty header": ("", TEXT, TEXT),
    "identity": (" Identity ", TEXT, TEXT),
    "gzip": ("gzip", gzip.compress(TEXT), TEXT),
    "GZIP": (" GZip ", gzip.compress(TEXT), TEXT),
    "x-gzip": ("x-gzip", gzip.compress(TEXT), TEXT),
    "gzip flushed": ("gzip", flushed_zlib(31), TEXT),
    "gzip of two members": ("gzip", gzip.compress(TEXT) + gzip.compress(b"more"), TEXT + b"more"),
    "gzip with an empty member": ("gzip", gzip.compress(b"") + gzip.compress(TEXT), TEXT),
    "gzip with padding": ("gzip", gzip.compress(TEXT) + bytes(20), TEXT),
    "gzip with padding between": ("gzip", gzip.compress(TEXT) + bytes(3) + gzip.compress(b"x"), TEXT + b"x"),
    "gzip of nothing": ("gzip", gzip.compress(b""), b""),
    "zlib": ("deflate", zlib.compress(TEXT), TEXT),
    "zlib of other levels": ("deflate", zlib.compress(TEXT, 1), TEXT),
    "zlib flushed": ("deflate", flushed_zlib(15), TEXT),
    "raw deflate": ("deflate", raw_deflate(TEXT), TEXT),
    "raw deflate, stored": ("deflate", zlib.compress(TEXT, 0, wbits=-15), TEXT),
    "raw deflate that looks like zlib at first": ("deflate", STORED, TEXT),
    "raw deflate of nothing": ("deflate", raw_deflate(b""), b""),
    "br": ("br", br(TEXT), TEXT),
    "br flushed": ("br", flushed_br(), TEXT),
    "br of nothing": ("br", br(b""), b""),
    "zstd": ("zstd", zstd(TEXT), TEXT),
    "zstd flushed": ("zstd", flushed_zstd(), TEXT),
    "zstd of two frames": ("zstd", zstd(TEXT) + zstd(b"more"), TEXT + b"more"),
    "zstd with frames to skip": ("zstd", SKIPPED_FRAME + zstd(TEXT) + SKIPPED_FRAME, TEXT),
    "a list": ("gzip, br", br(gzip.compress(TEXT)), TEXT),
    "a longer list": ("deflate,identity, zstd ,, gzip", gzip.compress(zstd(zlib.compress(TEXT))), TEXT),
    "nothing at all": ("gzip", b"", b""),
    "nothing at all, twice": ("br, zstd", b"", b""),
}


def run(encoding: str | None, chunks: list[bytes]) -> tuple[bytes, str | None]:
    decoder = Decoder(encoding)
    decoded = b"".join([decoder.feed(chunk) for chunk in chunks]) + decoder.close()
    return decoded, decoder.error


def bytewise(data: bytes) -> list[bytes]:
    return [part for i in range(len(data)) for part in (data[i : i + 1], b"")]


@for_each("name", CASES)
def test_every_coding_at_every_cut(name: str) -> None:
    """The decoded body is the same however its bytes are cut."""
    encoding, data, expected = CASES[name]
    assert decode(data, encoding) == (expected, None)
    assert run(encoding, bytewise(data)) == (expected, None)
    for i in range(1, len(data)):
        assert run(encoding, [data[:i], data[i:]]) == (expected, None)


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("flushed")])
def test_what_the_server_flushed_comes_at_once(name: str) -> None:
    """Text that the server has flushed does not wait for later bytes."""
    encoding, data, expected = CASES[name]
    decoder = Decoder(encoding)
    decoded = [decoder.feed(data[i : i + 1]) for i in range(len(data))]
    assert sum(map(bool, decoded)) >= 5
    assert len(b"".join(decoded[: len(data) * 4 // 5])) > len(expected) // 5


def test_nothing_stays_inside_the_decompressor() -> None:
    """A truncated body gives as much at once as byte by byte, even if output fills a piece exactly."""
    data = gzip.compress(bytes(300_000))
    for end in range(20, len(data)):
        assert decode(data[:end], "gzip") == run("gzip", bytewise(data[:end]))


@for_each("name", [name for name, case in CASES.items() if case[0] and len(case[2]) >= len(TEXT)][2:])
def test_truncated_at_every_byte(name: str) -> None:
    """A body that ends early gives the decoded part, or else itself, with an error."""
    encoding, data, expected = CASES[name]
    whole = 0
    for i in range(1, len(data)):
        decoded, error = decode(data[:i], encoding)
        if error is None:
            whole += 1
            assert expected.startswith(decoded)
            continue
        assert error == "truncated"
        assert expected.startswith(decoded) or decoded == data[:i]
    # A body can end well between members or frames and in padding, and nowhere else.
    assert whole <= 30
    assert whole == 0 or any(word in name for word in ("member", "frame", "padding"))


def test_truncated_bodies_give_what_there_is() -> None:
    """A body cut just before its end is decoded almost completely, in every coding."""
    text = random.Random(1).randbytes(20_000).hex().encode()
    for encoding, data in [("gzip", gzip.compress(text)), ("deflate", zlib.compress(text)), ("br", br(text))]:
        decoded, error = decode(data[:-200], encoding)
        assert (text.startswith(decoded), len(decoded) > 30_000, error) == (True, True, "truncated"), encoding
    parts = [text[i : i + 4000] for i in range(0, len(text), 4000)]
    decoded, error = decode(b"".join(map(zstd, parts))[:-200], "zstd")
    assert (text.startswith(decoded), len(decoded) >= 36_000, error) == (True, True, "truncated")


@pytest.mark.parametrize("encoding", ["compress", "aws-chunked", "gzip, foo", "foo, gzip", "gzip;q=1", "gzip " * 3])
def test_an_unknown_encoding_passes(encoding: str) -> None:
    """With an unknown encoding, alone or in a list, the bytes are returned unchanged."""
    data = gzip.compress(TEXT)
    decoder = Decoder(encoding)
    assert decoder.error is not None
    assert decoder.error.startswith("unknown content encoding")
    assert b"".join(map(decoder.feed, bytewise(data))) + decoder.close() == data


def test_an_unknown_encoding_is_quoted_with_care() -> None:
    """A name may be very long and contain anything: the error quotes a short printable part."""
    assert Decoder("\x1b[2J" + "x" * 900_000).error == f"unknown content encoding '[2j{'x' * 37}…'"


def test_too_many_encodings_pass() -> None:
    """A list of more than four codings is not decoded."""
    data = TEXT
    for _ in range(5):
        data = gzip.compress(data)
    assert decode(data, "gzip, gzip, gzip, gzip, gzip") == (data, "more than 4 content encodings")
    assert decode(gzip.decompress(data), "gzip, gzip, gzip, gzip") == (TEXT, None)


@for_each("encoding", ["gzip", "deflate", "br", "zstd", "gzip, br", "br, gzip"])
@for_each("data", [TEXT, b"data: [DONE]\n\n" * 3, b"<html>Bad Gateway</html>"])
def test_a_body_that_is_not_encoded_passes(encoding: str, data: bytes) -> None:
    """A body that is not encoded as claimed is returned unchanged with an error, at every cut."""
    for chunks in ([data], bytewise(data), *([data[:i], data[i:]] for i in range(1, len(data)))):
        decoded, error = run(encoding, chunks)
        assert decoded == data
        assert error is not None


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(TEXT) + b"garbage"),
        ("gzip", gzip.compress(TEXT)[:-8] + bytes(8)),
        ("deflate", zlib.compress(TEXT) + b"garbage"),
        ("deflate", raw_deflate(TEXT) + b"garbage"),
        ("zstd", zstd(TEXT) + b"garbage"),
    ],
    ids=["gzip", "gzip checksum", "zlib", "raw deflate", "zstd"],
)
def test_garbage_after_the_body(encoding: str, data: bytes) -> None:
    """The decoded part is kept, nothing is added to it, and the error is reported, at every cut."""
    for chunks in ([data], bytewise(data), *([data[:i], data[i:]] for i in range(1, len(data)))):
        decoded, error = run(encoding, chunks)
        assert decoded == TEXT
        assert error is not None


def test_garbage_after_a_brotli_body() -> None:
    """Brotli loses the output of the call that fails: a small body is then returned unchanged."""
    data = br(TEXT) + b"garbage"
    assert decode(data, "br")[0] == data
    assert run("br", [br(TEXT), b"garbage"]) == (TEXT, "br: data after the end")


def test_nothing_comes_after_an_error() -> None:
    """After an error following decoded bytes, further bytes give nothing and the first error is kept."""
    decoder = Decoder("gzip")
    assert decoder.feed(gzip.compress(TEXT) + b"garbage") == TEXT
    error = decoder.error
    assert (decoder.feed(gzip.compress(TEXT)), decoder.close(), decoder.error) == (b"", b"", error)


BOMBS = {
    "gzip": gzip.compress(bytes(3_000_000)),
    "deflate": zlib.compress(bytes(3_000_000)),
    "br": br(bytes(3_000_000)),
    "zstd": zstd(bytes(3_000_000)),
    "gzip, gzip": gzip.compress(gzip.compress(bytes(3_000_000))),
    "gzip, br": br(gzip.compress(bytes(3_000_000), 0)),
}


@pytest.mark.parametrize("encoding", BOMBS)
def test_the_output_has_a_bound(encoding: str) -> None:
    """Decoding stops exactly at the limit with an error; a body of exactly the limit is complete."""
    data = BOMBS[encoding]
    assert len(data) < 4_000_000
    if encoding != "gzip, br":
        decoded, error = decode(data, encoding, max_output=1_000_000)
        assert (len(decoded), error) == (1_000_000, "decodes to more than 1000000 bytes")
        decoded, error = decode(data, encoding, max_output=3_000_000)
        assert (len(decoded), error) == (3_000_000, None)
    decoder = Decoder(encoding, max_output=1_000_000)
    assert sum(len(decoder.feed(data[i : i + 1])) for i in range(len(data))) <= 1_000_000
    assert decoder.error == "decodes to more than 1000000 bytes"


def test_what_is_held_has_a_bound() -> None:
    """Input that decodes to nothing is not held forever: beyond the limit it is lost at an error."""
    empty = SKIPPED_FRAME * (MAX_HELD // len(SKIPPED_FRAME) + 2)
    decoder = Decoder("zstd")
    assert decoder.feed(empty) == b""
    assert decoder._held is None
    assert decoder.feed(b"garbage") == b""
    assert decoder.error is not None
    short = SKIPPED_FRAME + b"garbage"
    assert decode(short, "zstd")[0] == short


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "br", "zstd", "br, gzip", "zstd, deflate"]))
def test_any_bytes_are_survived(data: bytes, encoding: str) -> None:
    """No exception is raised; whole and byte by byte agree on validity and decoded bytes."""
    whole, single = decode(data, encoding), run(encoding, bytewise(data))
    assert (whole[1] is None) == (single[1] is None)
    if whole[1] is None:
        assert whole == single


@given(st.data(), st.sampled_from(list(CASES)))
def test_damaged_bodies_are_survived(data: st.DataObject, name: str) -> None:
    """A body with one changed byte raises nothing and stays within the limit; a checksum detects it."""
    encoding, body, expected = CASES[name]
    if not body:
        return
    at = data.draw(st.integers(0, len(body) - 1))
    damaged = body[:at] + bytes([body[at] ^ data.draw(st.integers(1, 255))]) + body[at + 1 :]
    decoded, error = decode(damaged, encoding, max_output=5000)
    assert len(decoded) <= max(5000, len(damaged))
    if name in ("gzip", "x-gzip", "zlib", "gzip flushed") and error is None:
        assert decoded == expected


@pytest.mark.parametrize("pieces", [1, 2, 1000])
def test_no_piece_decodes_to_more_than_is_borne(pieces: int) -> None:
    """The output of a few bytes has its own limit, which does not restrict a body in many pieces."""
    data = gzip.compress(bytes(3_000_000))
    decoder = Decoder("gzip", max_per_feed=1_000_000)
    size = len(data) // pieces + 1
    decoded = b"".join(decoder.feed(data[at : at + size]) for at in range(0, len(data), size))
    assert bytes(3_000_000).startswith(decoded)
    assert (decoder.error is None) is (pieces == 1000)
    assert pieces == 1000 or len(decoded) <= 1_000_000 + 2 * 65_536
