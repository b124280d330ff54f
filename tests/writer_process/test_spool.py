"""Tests of the messages that wait in memory and on disk."""

from io import FileIO
from pathlib import Path

import pytest

from moonpalace_addons.store.journal.framing import write_at
from moonpalace_addons.store.tasks import RequestRead, Task
from moonpalace_addons.writer_process import spool as spool_module
from moonpalace_addons.writer_process.spool import Spool
from tests.writer_process.calls import Call


def messages(count: int) -> list[list[Task]]:
    return [[call.request, call.ended] for call in (Call() for _ in range(count))]


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all messages wait on disk."""
    monkeypatch.setattr(spool_module, "MAX_MEMORY_SIZE", 0)


@pytest.mark.parametrize("memory", [0, 5_000, 20_000, 10**9])
@pytest.mark.parametrize("size", [1, 1_000, 10**9])
def test_messages_come_out_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, memory: int
) -> None:
    """Messages are read in order, in however many files and where they are, and whatever is added meanwhile."""
    monkeypatch.setattr(spool_module, "MAX_FILE_SIZE", size)
    monkeypatch.setattr(spool_module, "MAX_MEMORY_SIZE", memory)
    spool, said = Spool(tmp_path), messages(9)
    for each in said[:6]:
        spool.put(each)
    assert [spool.take() for _ in range(3)] == said[:3]
    for each in said[6:]:
        spool.put(each)
    assert len(spool) == 6
    assert [spool.take() for _ in range(6)] == said[3:]
    assert len(spool) == 0
    spool.put(said[0])
    assert spool.take() == said[0]
    assert list(tmp_path.iterdir()) == []


def test_memory_is_filled_before_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what does not fit into memory is written, and there is room again for what was taken."""
    written = list[int]()

    def noted(file: FileIO, offset: int, data: bytes) -> None:
        written.append(len(data))
        write_at(file, offset, data)

    monkeypatch.setattr(spool_module, "write_at", noted)
    monkeypatch.setattr(spool_module, "MAX_MEMORY_SIZE", 10_000)
    spool, said = Spool(tmp_path), messages(6)
    counts = list[int]()
    for each in said[:4]:
        spool.put(each)
        counts.append(len(written))
    assert counts == [0, 0, 1, 2]
    assert [spool.take() for _ in range(2)] == said[:2]
    spool.put(said[4])
    assert len(written) == 2
    spool.close()
    spool.put(said[5])
    assert (len(written), spool.take()) == (2, said[5])


def test_nobody_can_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data on disk has no file name and no readable content; finished files are closed."""
    files = list[FileIO]()

    def noted(file: FileIO, offset: int, data: bytes) -> None:
        files.append(file)
        write_at(file, offset, data)

    monkeypatch.setattr(spool_module, "write_at", noted)
    monkeypatch.setattr(spool_module, "MAX_FILE_SIZE", 1)
    spool, (first, second) = Spool(tmp_path), messages(2)
    spool.put(first)
    spool.put(second)
    assert list(tmp_path.iterdir()) == []
    for file, each in zip(files, (first, second), strict=True):
        file.seek(0)
        assert (content := file.read())
        assert b"kimi-k3" not in content
        assert isinstance(each[0], RequestRead)
        assert each[0].uuid.encode() not in content
    spool.take()
    spool.take()
    assert [file.closed for file in files] == [True, True]


def test_what_no_disk_takes_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk affects neither messages nor their order."""
    spool, said = Spool(tmp_path), messages(3)
    spool.put(said[0])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spool_module, "write_at", full)
        spool.put(said[1])
    spool.put(said[2])
    assert [spool.take() for _ in range(3)] == said


def test_without_its_folder(tmp_path: Path) -> None:
    """If MoonPalace has no folder, the system's temporary folder is used."""
    spool, (said,) = Spool(tmp_path / "none"), messages(1)
    spool.put(said)
    assert spool.take() == said


@pytest.mark.parametrize("damage", ["changed", "cut", "unreadable"])
def test_what_the_disk_gives_back_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    """The error has the number of calls in the message and the reason; the following messages are still read."""
    spool, calls = Spool(tmp_path), [Call() for _ in range(3)]
    under_way, begun, _ = calls
    spool.put([begun.request, under_way.packed(1), under_way.ended])
    spool.put([calls[2].request, calls[2].ended])
    assert spool.requests == 2

    def failing(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        found = {"changed": lambda *_: bytes(10_000), "cut": lambda *_: b"", "unreadable": failing}
        patch.setattr(
            spool_module, "read_at", lambda file, offset, length: found[damage](file, offset, length)[:length]
        )
        with pytest.raises(spool_module.DamagedError) as caught:
            spool.take()
    assert caught.value.calls == 2
    assert str(caught.value) in ("its bytes have changed", "the file has become shorter", "Input/output error")
    assert spool.take() == [calls[2].request, calls[2].ended]
