"""Frames with length and checksum, so that truncated ones are detected.

A frame is the length and the CRC-32 of its content (4 bytes each, little endian), then the content, which is never
empty, because a file system may leave zeros where a write did not complete.
"""

import re
import zlib
from collections.abc import Iterator
from io import FileIO
from itertools import islice
from struct import Struct
from typing import IO

HEAD = Struct("<II")
MAX_CONTENT_BYTES = 2**30
"""Limit for contents, so that a damaged length cannot exhaust the memory."""

UNIT_START = re.compile(rb"\x28\xb5\x2f\xfd")
"""The first bytes of a packed unit, as of any zstd frame; they locate the next unit after damage."""
SEARCH_SIZE = 2**20
MAX_TRIES = 1000
"""Maximum positions that are tried in a search for a frame: a body may contain many similar bytes."""


def framed(content: bytes) -> bytes:
    """Return a content as a frame; raises OverflowError if it is larger than 1 GiB."""
    if len(content) > MAX_CONTENT_BYTES:
        raise OverflowError(f"{len(content)} bytes are too many for one frame")
    return HEAD.pack(len(content), zlib.crc32(content)) + content


def frames(file: FileIO, begin: int, end: int) -> Iterator[tuple[bytes | None, int]]:
    """Yield the content and the end offset of each frame between two offsets, up to the first truncated one.

    The content of a damaged frame is None; it ends where the next whole frame with a unit begins, because its length
    may be what is damaged. If a damaged frame holds an uploaded journal, the frames of that are taken for the file's.
    """
    is_searched = False
    while begin + HEAD.size <= end:
        content, stop = frame_at(file, begin, end)
        if content is None and not is_searched:
            frame = next_frame(file, begin + 1, end)
            is_searched, stop = frame is None, frame or stop
        if stop is None:
            return
        yield content, stop
        begin = stop


def frame_at(file: FileIO, begin: int, end: int) -> tuple[bytes | None, int | None]:
    """Return the content of a frame, None if it is damaged, and where it ends, None if it is truncated."""
    head = read_at(file, begin, HEAD.size)
    length, checksum = HEAD.unpack(head) if len(head) == HEAD.size else (0, 0)
    stop = begin + HEAD.size + length
    if not length or stop > end:
        return None, None
    content = read_at(file, begin + HEAD.size, length) if length <= MAX_CONTENT_BYTES else None
    if content is not None and len(content) < length:
        return None, None
    return (content if content is not None and zlib.crc32(content) == checksum else None), stop


def next_frame(file: FileIO, begin: int, end: int) -> int | None:
    """Return where the next whole frame with a unit begins, None if there is none."""
    places = islice(possible_frames(file, begin, end), MAX_TRIES)
    return next((place for place in places if frame_at(file, place, end)[0] is not None), None)


def possible_frames(file: FileIO, begin: int, end: int) -> Iterator[int]:
    """Yield the offsets at which frames with units might begin."""
    for offset in range(begin, end, SEARCH_SIZE):
        block = read_at(file, offset, SEARCH_SIZE + HEAD.size + 3)
        for match in UNIT_START.finditer(block, HEAD.size):
            yield offset + match.start() - HEAD.size


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
