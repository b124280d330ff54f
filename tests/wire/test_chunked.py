"""Reading chunked transfers, against h11 and at every cut."""

import re
import types

import h11
import pytest
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from moonpalace_addons.wire import chunked
from moonpalace_addons.wire.chunked import ChunkReader

PLAIN = b"5\r\nhello\r\n1\r\n \r\n00A\r\n0123456789\r\nb\r\n\r\n5\r\nworld\r\r\n"
PIECES = [b"hello", b" ", b"0123456789", b"\r\n5\r\nworld\r"]
LAST = b"0\r\n\r\n"
RESTS = (
    LAST,
    b"000\r\n\r\n",
    b"3;name=value\r\nabc\r\n",
    b"x\r\n",
    b" 5\r\nhello\r\n",
    b"123456789\r\n",
    b"\n",
    b"5\n",
)


def fed(*parts: bytes) -> tuple[list[bytes], ChunkReader]:
    """Return the pieces that parts of a transfer give, and their reader, which is asked no more once it has ended."""
    reader, pieces = ChunkReader(), list[bytes]()
    for part in parts:
        if reader.rest is None and reader.problem is None:
            pieces += reader.feed(part)
        elif reader.rest is not None:
            reader.rest += part
    return pieces, reader


@pytest.mark.parametrize("rest", RESTS)
def test_whole(rest: bytes) -> None:
    """Chunks are pieces; the first thing that is none, and what follows, is left."""
    pieces, reader = fed(PLAIN + rest + b"more")
    assert pieces == PIECES
    assert reader.rest == rest + b"more"
    assert reader.problem is None


@pytest.mark.parametrize("rest", RESTS)
def test_at_every_cut(rest: bytes) -> None:
    """Wherever a transfer is cut, and byte by byte, the same bytes come out, at once, and the same is left."""
    whole = PLAIN + rest
    for at in range(len(whole) + 1):
        pieces, reader = fed(whole[:at], whole[at:])
        assert (b"".join(pieces), reader.rest) == (b"".join(PIECES), rest)
    pieces, reader = fed(*(whole[at : at + 1] for at in range(len(whole))))
    assert (b"".join(pieces), reader.rest) == (b"".join(PIECES), rest)


def test_parts_are_not_held() -> None:
    """What has come of a chunk is given at once."""
    assert [fed(b"64\r\n")[0], fed(b"64\r\nab")[0], fed(b"64\r\nab", b"c")[0]] == [[], [b"ab"], [b"ab", b"c"]]


@pytest.mark.parametrize("bad", [b"2\r\nabc\r\n", b"2\r\nab\n", b"2\r\nab\r\r", b"2\r\nab1\r\n"])
def test_wrong_end(bad: bytes) -> None:
    """A chunk that does not end where it says is a problem; what came before it is given."""
    for at in range(len(bad)):
        pieces, reader = fed(b"1\r\nx\r\n" + bad[:at], bad[at:])
        assert b"".join(pieces)[:3] == b"x" + bad[3:5]
        assert reader.problem == "a chunk does not end where it should"


def read_by_h11(transfer: bytes) -> tuple[bytes, bool]:
    """Return the body that h11 finds, and whether it finds a mistake."""
    reader, buffer, body = ChunkedReader(), ReceiveBuffer(), b""
    buffer += transfer
    try:
        while isinstance(found := reader(buffer), h11.Data):
            body += bytes(found.data)
    except h11.ProtocolError:
        return body, True
    return body, False


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.binary(min_size=1, max_size=40), st.sampled_from(RESTS)), max_size=6),
    st.binary(max_size=4),
    st.data(),
)
def test_agrees_with_h11(chunks: list[bytes], noise: bytes, data: st.DataObject) -> None:
    """Whatever comes: what is read here and h11 reads of the rest is what h11 reads of all."""
    transfer = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    at = data.draw(st.integers(0, len(transfer)))
    transfer = transfer[:at] + noise + transfer[at:] + LAST
    cut = data.draw(st.integers(0, len(transfer)))
    pieces, reader = fed(transfer[:cut], transfer[cut:])
    rest, is_wrong = read_by_h11(reader.rest) if reader.rest is not None else (b"", False)
    expected, expected_wrong = read_by_h11(transfer)
    assert b"".join(pieces) + rest == expected
    assert (reader.problem is not None or is_wrong) == expected_wrong


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4), st.data())
def test_another_reader_goes_on(chunks: list[bytes], data: st.DataObject) -> None:
    """Wherever a transfer is cut: h11 reads on, given a chunk's beginning and what belongs to no piece."""
    transfer = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + LAST
    cut = data.draw(st.integers(0, len(transfer)))
    pieces, reader = fed(transfer[:cut])
    h11_reader, buffer, body = ChunkedReader(), ReceiveBuffer(), b"".join(pieces)
    buffer += reader.opening
    if reader.opening:
        assert h11_reader(buffer) == h11.Data(data=b".", chunk_start=True, chunk_end=not reader._missing)
    buffer += reader.unread + transfer[cut:]
    while isinstance(found := h11_reader(buffer), h11.Data):
        body += bytes(found.data)
    assert isinstance(found, h11.EndOfMessage)
    assert body == b"".join(chunks)


def test_failed_read_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an exception in the midst of it, the same bytes can be fed again."""
    pattern, calls = chunked._SIZE, 0

    def match(data: bytes, at: int) -> re.Match[bytes] | None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise MemoryError
        return pattern.match(data, at)

    monkeypatch.setattr(chunked, "_SIZE", types.SimpleNamespace(match=match))
    reader = ChunkReader()
    assert reader.feed(PLAIN[:7]) == [b"hell"]
    with pytest.raises(MemoryError):
        reader.feed(PLAIN[7:])
    assert reader.feed(PLAIN[7:]) == [b"o", *PIECES[1:]]
