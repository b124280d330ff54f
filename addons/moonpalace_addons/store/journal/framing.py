"""Frames in a file: each says how long it is and has a checksum, so that one that was cut is known as such.

A frame is the length of its content and that content's CRC-32 (4 bytes each, little endian), then the content, which
is never empty: a file system may leave zeros where it had no time to write.
"""

import zlib
from collections.abc import Iterator
from io import FileIO
from struct import Struct
from typing import IO

HEAD = Struct("<II")
MAX_CONTENT = 2**30
"""Bytes: what a damaged head asks for must not fill the memory."""


def framed(content: bytes) -> bytes:
    """Return the frame around a content; raises OverflowError if that is more than 1 GiB."""
    if len(content) > MAX_CONTENT:
        raise OverflowError(f"{len(content)} bytes are too many for one frame")
    return HEAD.pack(len(content), zlib.crc32(content)) + content


def frames(file: FileIO, begin: int, end: int) -> Iterator[tuple[bytes | None, int]]:
    """Read the contents of the frames between two offsets, each with where it ends, up to the first that is cut.

    Of a frame that is there but damaged the content is None. One whose length is damaged may look like one that is cut,
    or like a longer or shorter one: no wrong content is given, but where the next frame begins is lost.
    """
    while begin + HEAD.size <= end:
        head = read_at(file, begin, HEAD.size)
        if len(head) < HEAD.size:
            return
        length, checksum = HEAD.unpack(head)
        stop = begin + HEAD.size + length
        if not length or stop > end:
            return
        content = read_at(file, begin + HEAD.size, length) if length <= MAX_CONTENT else None
        if content is not None and len(content) < length:
            return
        yield (content if content is not None and zlib.crc32(content) == checksum else None), stop
        begin = stop


def write_at(file: IO[bytes], offset: int, data: bytes) -> None:
    """Write all of `data`: a full disk may take a part of it before it says so, with an OSError."""
    file.seek(offset)
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def read_at(file: IO[bytes], offset: int, length: int) -> bytes:
    """Read `length` bytes, fewer at the end of the file."""
    file.seek(offset)
    parts = list[bytes]()
    while length and (part := file.read(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
