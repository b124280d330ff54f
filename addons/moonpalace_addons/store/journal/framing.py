"""Frames with length and checksum, so that truncated ones are detected.

A frame is the length and the CRC-32 of its content (4 bytes each, little endian), then the content, which is never
empty, because a file system may leave zeros where a write did not complete.
"""

import zlib
from collections.abc import Iterator
from io import FileIO
from struct import Struct
from typing import IO

HEAD = Struct("<II")
MAX_CONTENT_BYTES = 2**30
"""Limit for contents, so that a damaged length cannot exhaust the memory."""


def framed(content: bytes) -> bytes:
    """Return a content as a frame; raises OverflowError if it is larger than 1 GiB."""
    if len(content) > MAX_CONTENT_BYTES:
        raise OverflowError(f"{len(content)} bytes are too many for one frame")
    return HEAD.pack(len(content), zlib.crc32(content)) + content


def frames(file: FileIO, begin: int, end: int) -> Iterator[tuple[bytes | None, int]]:
    """Yield the content and the end offset of each frame between two offsets, up to the first truncated one.

    The content of a damaged frame is None. A frame with a damaged length may look truncated, longer or shorter; no
    wrong content is returned, but the start of the next frame is lost.
    """
    while begin + HEAD.size <= end:
        head = read_at(file, begin, HEAD.size)
        if len(head) < HEAD.size:
            return
        length, checksum = HEAD.unpack(head)
        stop = begin + HEAD.size + length
        if not length or stop > end:
            return
        content = read_at(file, begin + HEAD.size, length) if length <= MAX_CONTENT_BYTES else None
        if content is not None and len(content) < length:
            return
        yield (content if content is not None and zlib.crc32(content) == checksum else None), stop
        begin = stop


def write_at(file: IO[bytes], offset: int, data: bytes) -> None:
    """Write all of `data`; raises OSError if the disk is full, possibly after a partial write."""
    file.seek(offset)
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def read_at(file: IO[bytes], offset: int, length: int) -> bytes:
    """Return `length` bytes, fewer at the end of the file."""
    file.seek(offset)
    parts = list[bytes]()
    while length and (part := file.read(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
