"""Tests of frames in a file."""

from collections.abc import Buffer
from io import FileIO
from pathlib import Path

import pytest

from moonpalace_addons.store.journal.framing import HEAD, framed, frames, read_at, write_at

CONTENTS = [b"one", b"2", b"three" * 5]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Give a file of three frames."""
    file = tmp_path / "frames"
    file.write_bytes(b"".join(framed(content) for content in CONTENTS))
    return file


def found(file: Path, end: int | None = None) -> list[bytes | None]:
    with FileIO(file) as opened:
        return [content for content, _ in frames(opened, 0, file.stat().st_size if end is None else end)]


def test_a_file_that_is_cut_anywhere_gives_the_whole_frames(written: Path) -> None:
    """Wherever a file ends, the frames before that are read, and nothing of the one that is cut."""
    whole = written.read_bytes()
    ends = [sum(len(framed(content)) for content in CONTENTS[:count]) for count in range(4)]
    for cut in range(len(whole) + 1):
        written.write_bytes(whole[:cut])
        expected = CONTENTS[: sum(end <= cut for end in ends[1:])]
        assert found(written) == expected
        assert found(written, cut + 1000) == expected


def test_a_changed_byte_costs_its_frame(written: Path) -> None:
    """Whatever byte is wrong, no wrong content is given; if it is one of a content, the frames after it are read."""
    whole = bytearray(written.read_bytes())
    heads = [place + byte for place in (0, 11, 20) for byte in range(4)]
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x41
        written.write_bytes(damaged)
        got = found(written)
        right = sum(content in CONTENTS for content in got)
        assert set(got) <= {*CONTENTS, None}
        assert right < len(CONTENTS)
        assert place in heads or (right, len(got)) == (2, 3)


def test_zeros_end_the_file(written: Path) -> None:
    """Zeros, which a file system leaves where a crash came before the bytes, are no frames."""
    written.write_bytes(written.read_bytes() + bytes(10_000))
    assert found(written) == CONTENTS


def test_a_frame_too_large_to_be_one(tmp_path: Path) -> None:
    """A head that asks for gigabytes is not followed, though the file has them; what is after it is read."""
    file = tmp_path / "frames"
    with file.open("wb") as opened:
        opened.write(HEAD.pack(2**31, 0))
        opened.seek(HEAD.size + 2**31)
        opened.write(framed(b"after"))
    assert found(file) == [None, b"after"]


def test_what_is_written_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that takes and gives a few bytes at a time is asked until all is done."""

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
