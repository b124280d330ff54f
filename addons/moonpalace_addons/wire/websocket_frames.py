"""Read the messages of one side of a WebSocket from bytes that may be cut anywhere (RFC 6455, RFC 7692).

The reader only observes: it forwards nothing, and counts as lost what it cannot read. Its memory is bounded: it keeps
`limit` bytes of a message. It stops at a larger compressed message, because later ones may refer to it, and at
compressed data that expands to far more than any text, because decompressing it would delay other calls.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE = 0x0, 0x1, 0x2, 0x8
_FINAL, _COMPRESSED, _RESERVED, _MASKED = 0x80, 0x40, 0x30, 0x80
_CONTROL, _MAX_CONTROL = 0x8, 125
_SHORT, _LONG = 126, 127
_TAIL = b"\x00\x00\xff\xff"
"""The bytes that a sender omits at the end of a compressed message."""
MAX_UNUSED = len(_TAIL) + 1
"""An empty block after a block that is marked as the last one; it ends a message."""
MAX_UNPACKED, MAX_RATIO = 4_000_000, 64
"""Maximum bytes decompressed at a time: the larger of this number and this multiple of the bytes received."""
DEFLATE = "permessage-deflate"


class Message(NamedTuple):
    """A whole message, or a close frame; `left_out` is the number of bytes at its end that were not kept."""

    kind: int
    data: bytes
    left_out: int = 0


class FrameReader:
    """Turn the bytes that one side sends into its messages; nothing is raised.

    `extensions` is the header of the answer that accepts the upgrade. `is_lost` becomes and stays True at the first
    bytes that cannot be read.
    """

    def __init__(self, extensions: str, limit: int, *, is_client: bool) -> None:
        self.is_lost = False
        self._limit = limit
        self._resets = False
        self._inflater: zlib._Decompress | None = None
        for name, parameters in _accepted(extensions):
            if name == DEFLATE:
                self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
                self._resets = f"{'client' if is_client else 'server'}_no_context_takeover" in parameters
            else:
                self.is_lost = True
        self._rest = bytearray()
        self._left = 0
        self._mask = 0
        self._head = 0
        self._kind: int | None = None
        self._is_compressed = False
        self._kept = bytearray()
        self._left_out = 0
        self._control = bytearray()
        self._unpackable = 0

    @property
    def is_between_frames(self) -> bool:
        """Return whether a frame of another sender may be inserted here."""
        return not (self.is_lost or self._rest or self._left)

    @property
    def is_between_messages(self) -> bool:
        """Return whether a message of another sender may be inserted here."""
        return self.is_between_frames and self._kind is None

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that the bytes complete."""
        if self.is_lost:
            return
        self._unpackable = max(MAX_UNPACKED, MAX_RATIO * len(data))
        try:
            yield from self._feed(data)
        except (ValueError, zlib.error):
            self.is_lost = True
            self._rest.clear()
            self._kept.clear()

    def _feed(self, data: bytes) -> Iterator[Message]:
        self._rest += data
        while True:
            if not self._left and not self._read_head():
                return
            payload = bytes(self._rest[: self._left])
            del self._rest[: len(payload)]
            self._left -= len(payload)
            yield from self._take(self._unmasked(payload))
            if self._left:
                return

    def _read_head(self) -> bool:
        """Read the header of a frame once all of it has arrived."""
        rest = self._rest
        if len(rest) < 2:
            return False
        length, size = rest[1] & ~_MASKED, 2
        if length >= _SHORT:
            size += 2 if length == _SHORT else 8
            length = int.from_bytes(rest[2:size])
        masked = bool(rest[1] & _MASKED)
        if len(rest) < size + 4 * masked:
            return False
        self._head, self._left = rest[0], length
        self._mask = int.from_bytes(rest[size : size + 4]) if masked else 0
        del rest[: size + 4 * masked]
        self._begin(self._head & 0xF)
        return True

    def _begin(self, kind: int) -> None:
        """Check a frame against the state of its message."""
        if self._head & _RESERVED:
            raise ValueError
        if kind & _CONTROL:
            if self._left > _MAX_CONTROL or not self._head & _FINAL:
                raise ValueError
        elif kind in (TEXT, BINARY):
            if self._kind is not None:
                raise ValueError
            self._kind, self._is_compressed = kind, bool(self._head & _COMPRESSED)
            if self._is_compressed and self._inflater is None:
                raise ValueError
        elif kind != CONTINUATION or self._kind is None:
            raise ValueError

    def _unmasked(self, payload: bytes) -> bytes:
        if not self._mask or not payload:
            return payload
        size = len(payload)
        key = (self._mask.to_bytes(4) * (size // 4 + 1))[:size]
        turned = self._mask.to_bytes(4) * 2
        shift = size % 4
        self._mask = int.from_bytes(turned[shift : shift + 4])
        return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)

    def _take(self, payload: bytes) -> Iterator[Message]:
        kind, is_over = self._head & 0xF, not self._left
        if kind & _CONTROL:
            self._control += payload
            if is_over:
                if kind == CLOSE:
                    yield Message(CLOSE, bytes(self._control))
                self._control.clear()
            return
        self._keep(payload)
        if not (is_over and self._head & _FINAL) or self._kind is None:
            return
        self._keep(b"", is_end=True)
        yield Message(self._kind, bytes(self._kept), self._left_out)
        self._kept.clear()
        self._kind, self._left_out = None, 0

    def _keep(self, payload: bytes, *, is_end: bool = False) -> None:
        room = self._limit - len(self._kept)
        if self._is_compressed and self._inflater is not None:
            most = min(room, self._unpackable)
            payload = self._inflater.decompress(payload + _TAIL * is_end, most + 1)
            self._unpackable -= len(payload)
            is_over = len(self._inflater.unused_data) > MAX_UNUSED
            if self._inflater.unconsumed_tail or len(payload) > most or is_over:
                raise ValueError
            if is_end and (self._resets or self._inflater.eof):
                self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._kept += payload[:room]
        self._left_out += max(0, len(payload) - room)


def close_code(data: bytes) -> tuple[int | None, str]:
    """Return the code and the reason of a close frame."""
    if len(data) < 2:
        return None, ""
    return int.from_bytes(data[:2]), data[2:].decode("utf-8", "replace")


def close_frame(code: int, reason: str, *, is_client: bool) -> bytes:
    """Return a close frame as sent by one side."""
    return _frame(CLOSE, code.to_bytes(2) + reason.encode(), is_client=is_client)


def message_frame(data: bytes, *, is_text: bool, is_client: bool) -> bytes:
    """Return a message as one uncompressed frame, which is valid with any extension."""
    return _frame(TEXT if is_text else BINARY, data, is_client=is_client)


def _frame(kind: int, payload: bytes, *, is_client: bool) -> bytes:
    size, masked = len(payload), _MASKED if is_client else 0
    if size < _SHORT:
        length = bytes([masked | size])
    elif size < 1 << 16:
        length = bytes([masked | _SHORT]) + size.to_bytes(2)
    else:
        length = bytes([masked | _LONG]) + size.to_bytes(8)
    key = bytes(4) if is_client else b""  # a mask of zeros leaves the payload as it is
    return bytes([_FINAL | kind]) + length + key + payload


def _accepted(header: str) -> Iterator[tuple[str, set[str]]]:
    for text in filter(None, (each.strip() for each in header.split(","))):
        name, *parameters = (part.strip() for part in text.split(";"))
        yield name, {parameter.partition("=")[0].strip() for parameter in parameters}
