"""Tests of frames in a file."""

import zlib
from collections.abc import Buffer
from io import FileIO
from pathlib import Path

import pytest

from moonpalace_addons.store.journal import framing
from moonpalace_addons.store.journal.framing import HEAD, framed, frames, read_at, write_at

START = b"\x28\xb5\x2f\xfd"
CONTENTS = [START + b"one", START, START + b"three" * 5]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Give a file of three frames."""
    file = tmp_path / "frames"
    file.write_bytes(b"".join(framed(content) for content in CONTENTS))
    return file


def read_frames(file: Path, end: int | None = None) -> list[bytes | None]:
    with FileIO(file) as opened:
        return [content for content, _ in frames(opened, 0, file.stat().st_size if end is None else end)]


def test_a_file_that_is_cut_anywhere_gives_the_whole_frames(written: Path) -> None:
    """Wherever a file ends, the frames before that are read, and nothing of the truncated one."""
    whole = written.read_bytes()
    ends = [sum(len(framed(content)) for content in CONTENTS[:count]) for count in range(4)]
    for cut in range(len(whole) + 1):
        written.write_bytes(whole[:cut])
        expected = CONTENTS[: sum(end <= cut for end in ends[1:])]
        assert read_frames(written) == expected
        assert read_frames(written, cut + 1000) == expected


@pytest.mark.parametrize("search_size", [1, 7, 2**20])
def test_a_changed_byte_costs_its_frame(written: Path, monkeypatch: pytest.MonkeyPatch, search_size: int) -> None:
    """Whatever byte is wrong, even in a head, no wrong content is returned, and the other frames are read."""
    monkeypatch.setattr(framing, "SEARCH_SIZE", search_size)
    whole = bytearray(written.read_bytes())
    ends = [sum(len(framed(content)) for content in CONTENTS[: count + 1]) for count in range(3)]
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x41
        written.write_bytes(damaged)
        hit = sum(end <= place for end in ends)
        expected: list[bytes | None] = [*CONTENTS[:hit], None, *CONTENTS[hit + 1 :]]
        # The last one cannot be told from one that is cut.
        assert read_frames(written) in ([expected] if hit < 2 else [expected, expected[:-1]])


def test_frames_behind_zeros(written: Path) -> None:
    """If the file system left zeros for one of several writes, later frames are found."""
    whole = written.read_bytes()
    written.write_bytes(whole + bytes(10_000) + whole)
    assert read_frames(written) == [*CONTENTS, None, *CONTENTS]


def test_a_body_full_of_beginnings_costs_no_time(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that a client sent to look like frames are tried a limited number of times."""
    tried, really = list[int](), framing.frame_at

    def frame_at(file: FileIO, begin: int, end: int) -> tuple[bytes | None, int | None]:
        tried.append(begin)
        return really(file, begin, end)

    monkeypatch.setattr(framing, "frame_at", frame_at)
    written.write_bytes(written.read_bytes() + HEAD.pack(2**31, 0) + (HEAD.pack(20, 0) + START) * 50_000)
    assert read_frames(written) == CONTENTS
    assert len(tried) < framing.MAX_TRIES + 10


def test_zeros_end_the_file(written: Path) -> None:
    """Zeros, which a file system may leave after a crash, are not frames."""
    written.write_bytes(written.read_bytes() + bytes(10_000))
    assert read_frames(written) == CONTENTS


def test_a_frame_too_large_to_be_one(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that is too large is not read, even if it is complete; the frames after it are."""
    monkeypatch.setattr(framing, "MAX_CONTENT_BYTES", 100)
    size = HEAD.size + 101
    large = HEAD.pack(101, zlib.crc32(bytes(101))) + bytes(101)
    written.write_bytes(large + written.read_bytes())
    with FileIO(written) as opened:
        assert next(frames(opened, 0, written.stat().st_size)) == (None, size)
    assert read_frames(written) == [None, *CONTENTS]


def test_what_is_written_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system reads and writes only a few bytes at a time, it is called until all is done."""

    class Slow(FileIO):
        def write(self, data: Buffer) -> int:
            return super().write(memoryview(data)[:3])

        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 2))

    with Slow(tmp_path / "slow", "w+") as file:
        write_at(file, 0, b"0123456789")
        write_at(file, 4, b"abcd")
        assert read_at(file, 0, 100) == b"0123abcd89"
        assert read_at(file, 5, 2) == b"bc"
