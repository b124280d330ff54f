"""The messages of a WebSocket are read from a copy of its bytes, cut anywhere, within limits."""

import json
import os
import time
import tracemalloc
import zlib

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate

from moonpalace_addons.wire.websocket_frames import (
    BINARY,
    CLOSE,
    TEXT,
    FrameReader,
    Message,
    close_code,
    close_frame,
)
from tests.cuts import pieces_of

SAID: list[Event] = [
    TextMessage("hello 你好"),
    TextMessage("in ", message_finished=False),
    Ping(b"between"),
    TextMessage("pieces, ", message_finished=False),
    TextMessage("三"),
    TextMessage(""),
    BytesMessage(bytes(range(256)) * 300),
    TextMessage("hello 你好 again, as before: hello 你好"),
    CloseConnection(4001, "bye"),
]
READ = [
    Message(TEXT, "hello 你好".encode()),
    Message(TEXT, "in pieces, 三".encode()),
    Message(TEXT, b""),
    Message(BINARY, bytes(range(256)) * 300),
    Message(TEXT, "hello 你好 again, as before: hello 你好".encode()),
    Message(CLOSE, b"\x0f\xa1bye"),
]
EXTENSIONS = [
    "",
    "permessage-deflate",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; client_max_window_bits=10; server_max_window_bits=10",
]


def written(extensions: str, events: list[Event], *, is_client: bool) -> bytes:
    """Return the bytes of one side."""
    found = []
    if extensions:
        found.append(PerMessageDeflate())
        found[0].finalize(extensions)
    side = Connection(ConnectionType.CLIENT if is_client else ConnectionType.SERVER, list(found))
    return b"".join(side.send(event) for event in events)


@pytest.mark.parametrize("is_client", [True, False])
@pytest.mark.parametrize("extensions", EXTENSIONS)
def test_messages(extensions: str, is_client: bool) -> None:
    """Masked or not, compressed or not, in fragments with a ping between them, and cut anywhere."""
    stream = written(extensions, SAID, is_client=is_client)
    for pieces in ([stream], [stream[:40], stream[40:]], [*pieces_of(stream[:700], 1), stream[700:]]):
        reader = FrameReader(extensions, 1_000_000, is_client=is_client)
        assert [message for piece in pieces for message in reader.feed(piece)] == READ
        assert not reader.is_lost
        assert reader.is_between_frames


def test_a_message_beyond_the_limit() -> None:
    """The beginning of a long message is kept, and the next one is read as usual."""
    stream = written("", [BytesMessage(b"x" * 1000), TextMessage("next")], is_client=True)
    reader = FrameReader("", 100, is_client=True)
    assert list(reader.feed(stream)) == [Message(BINARY, b"x" * 100, 900), Message(TEXT, b"next")]


def test_a_compressed_message_beyond_the_limit() -> None:
    """A compression bomb is not decompressed: nothing after it is read, and the reader says so."""
    stream = written("permessage-deflate", [BytesMessage(bytes(50_000_000)), TextMessage("next")], is_client=False)
    reader = FrameReader("permessage-deflate", 1000, is_client=False)
    assert list(reader.feed(stream)) == []
    assert reader.is_lost


def test_a_bomb_within_the_limit() -> None:
    """The expansion of one network read is limited, so that other calls continue; texts are far below the limit."""
    bomb = written("permessage-deflate", [BytesMessage(bytes(20_000_000))], is_client=False)
    reader = FrameReader("permessage-deflate", 100_000_000, is_client=False)
    began = time.process_time()
    assert list(reader.feed(bomb)) == []
    assert time.process_time() - began < 0.1
    assert reader.is_lost
    text = json.dumps([{"role": "user", "content": f"word {number} " * 20} for number in range(20_000)])
    stream = written("permessage-deflate", [TextMessage(text)], is_client=False)
    reader = FrameReader("permessage-deflate", 100_000_000, is_client=False)
    messages = [
        message for start in range(0, len(stream), 65_536) for message in reader.feed(stream[start : start + 65_536])
    ]
    assert messages == [Message(TEXT, text.encode())]


def test_small_fragments_take_no_more_memory_than_large_ones() -> None:
    """A message is kept in one buffer, whatever its fragments."""
    reader = FrameReader("", 1_000_000, is_client=False)
    fragments = b"\x01\x02ab" + b"\x00\x02ab" * 100_000
    tracemalloc.start()
    try:
        assert list(reader.feed(fragments)) == []
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2 * len(fragments)
    assert list(reader.feed(b"\x80\x00")) == [Message(TEXT, b"ab" * 100_001)]


def last_block(data: bytes) -> bytes:
    """Return compressed data marked as the last block."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def test_what_follows_the_last_block() -> None:
    """An empty block may follow it, according to RFC 7692; the reader gives up on anything else."""
    packed = last_block(b"hello")
    reader = FrameReader("permessage-deflate", 1_000_000, is_client=False)
    frame = b"\xc1" + bytes([len(packed) + 1]) + packed + b"\0"
    assert list(reader.feed(frame * 2)) == [Message(TEXT, b"hello")] * 2
    list(reader.feed(b"\x41" + bytes([len(packed)]) + packed + b"\x00\x64" + bytes(100)))
    assert reader.is_lost


@pytest.mark.parametrize(
    "stream",
    [
        b"\xff" * 14,
        b"\x83\x00",
        b"\x80\x00",
        b"\x01\x00\x01\x00",
        b"\x09\x00",
        b"\x89\x7e\x00\x7e",
        b"\xc1\x01a",
        b"\xa1\x00",
    ],
)
def test_what_is_no_frame(stream: bytes) -> None:
    """Invalid bytes end the reading, without an exception."""
    reader = FrameReader("", 100, is_client=False)
    assert list(reader.feed(stream)) == []
    assert reader.is_lost
    assert list(reader.feed(b"\x81\x01a")) == []


def test_broken_compression_and_unknown_extensions() -> None:
    """Data that cannot be decompressed is lost, and so is data that an unknown extension may have changed."""
    packed = zlib.compress(os.urandom(40))[2:]
    reader = FrameReader("permessage-deflate", 100, is_client=False)
    assert list(reader.feed(b"\xc1" + bytes([len(packed)]) + packed[::-1])) in ([], [Message(TEXT, b"")])
    assert FrameReader("x-secret; a=1", 100, is_client=False).is_lost


@pytest.mark.parametrize("is_client", [True, False])
def test_close_frames(is_client: bool) -> None:
    """The other side accepts our close frame."""
    frame = close_frame(1001, "the proxy stops", is_client=is_client)
    side = Connection(ConnectionType.SERVER if is_client else ConnectionType.CLIENT)
    side.receive_data(frame)
    (event,) = side.events()
    assert isinstance(event, CloseConnection)
    assert (event.code, event.reason) == (1001, "the proxy stops")
    (message,) = FrameReader("", 9, is_client=is_client).feed(frame)
    assert close_code(message.data) == (1001, "the proxy stops")
    assert close_code(b"") == (None, "")


def test_frames_of_another_sender() -> None:
    """No other frame may be inserted within a frame."""
    reader = FrameReader("", 100, is_client=False)
    seen = []
    for byte in b"\x81\x02ab":
        list(reader.feed(bytes([byte])))
        seen.append(reader.is_between_frames)
    assert seen == [False, False, False, True]


@pytest.mark.parametrize(("extensions", "stream"), [("x-secret", b""), ("", b"\xa1\x00"), ("", b"\xff" * 14)])
def test_where_frames_end_is_unknown(extensions: str, stream: bytes) -> None:
    """Once the bytes cannot be read, there is no known place for another frame."""
    reader = FrameReader(extensions, 100, is_client=False)
    list(reader.feed(stream))
    assert not reader.is_between_frames
