"""Truncated, damaged and foreign journals, and failures of reading and writing."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

import pytest
import zstandard

from moonpalace_addons.store.journal import journal_file, journal_place, overflow
from moonpalace_addons.store.journal.framing import HEAD, framed, write_at
from moonpalace_addons.store.journal.journal_place import Place
from moonpalace_addons.store.journal.overflow import Overflow
from moonpalace_addons.store.journal.unit_bytes import LENGTH, pack
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.write.units import Unit
from tests.store.journal.kept import COLUMNS, RUN, RUN_ID, UNITS, Store, drain


@pytest.fixture
def whole(place: Place) -> tuple[bytes, list[int]]:
    """Return the bytes of a journal with all units, and where its head and each unit end."""
    kept = Overflow(place, RUN)
    kept.add(UNITS)
    kept.close()
    path = place.path(RUN_ID)
    content = path.read_bytes()
    path.unlink()
    sizes = [len(pack(unit)) + HEAD.size for unit in UNITS]
    return content, [len(content) - sum(sizes[count:]) for count in range(6)]


def taken_in(place: Place, content: bytes) -> list[str]:
    """Read a journal in another proxy; return its calls in their order."""
    place.path(RUN_ID).write_bytes(content)
    again, store = Overflow(place, RUN | {"id": "0a6f27a4-1c1c-4b02-9e5c-6a0e7b0c0002"}), Store()
    again.claim_abandoned()
    drain(again, store)
    assert place.paths() == []
    assert {run for run, _ in store.got} <= {RUN_ID}
    return [uuid for _, uuid in store.got]


def assert_kept(place: Place, content: bytes, said: str, unread: int | None = None) -> None:
    """Check that a journal is kept under another name, byte for byte, and that one correct line says so."""
    (aside,) = place.kept()
    assert aside.read_bytes() == content
    assert said.endswith(f"it is kept as {aside}")
    assert unread is None or f"; {unread} bytes of it cannot be read; " in said
    aside.unlink()


def test_a_journal_cut_anywhere(place: Place, caplog: pytest.LogCaptureFixture, whole: tuple[bytes, list[int]]) -> None:
    """Wherever a crash cut the file, the calls before that are read; a partial one keeps the file."""
    content, ends = whole
    for cut in range(len(content) + 1):
        caplog.clear()
        before = sum(end <= cut for end in ends[1:])
        assert taken_in(place, content[:cut]) == [unit.uuid for unit in UNITS[:before]]
        if cut < ends[0]:
            assert (caplog.messages, place.kept()) == ([], [])  # its writer died before it had any call
            continue
        (said,) = caplog.messages
        assert said.startswith(f"store: {before} calls stored from the journal {place.path(RUN_ID)}")
        if cut in ends:
            assert place.kept() == []
        else:
            assert_kept(place, content[:cut], said, cut - ends[before])


def test_a_journal_damaged_anywhere(
    place: Place, caplog: pytest.LogCaptureFixture, whole: tuple[bytes, list[int]]
) -> None:
    """Whatever bit is wrong, all calls but one are read, and the file is kept, as one line says."""
    content, ends = whole
    for at in range(len(journal_file.MAGIC), len(content)):
        for bit in (0x01, 0x40, 0x80):
            caplog.clear()
            damaged = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
            hit = sum(end <= at for end in ends) - 1
            assert taken_in(place, damaged) == [unit.uuid for n, unit in enumerate(UNITS) if hit >= 0 and n != hit]
            (said,) = caplog.messages
            assert_kept(place, damaged, said)


@pytest.mark.parametrize("length", [0, -9, -1, 1, 5, 2**31, 2**32 - 1])
def test_a_damaged_length_costs_one_call(
    place: Place, caplog: pytest.LogCaptureFixture, whole: tuple[bytes, list[int]], length: int
) -> None:
    """After a length that is too small, too large or missing, the following calls are found."""
    content, ends = whole
    right = ends[2] - ends[1] - HEAD.size
    wrong = length if length in (0, 2**31, 2**32 - 1) else right + length
    damaged = content[: ends[1]] + wrong.to_bytes(4, "little") + content[ends[1] + 4 :]
    assert taken_in(place, damaged) == ["0", "2", "3", "4"]
    (said,) = caplog.messages
    assert said.startswith("store: 4 calls stored from the journal ")
    assert_kept(place, damaged, said, ends[2] - ends[1])


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(journal_file.MAGIC)
    path.symlink_to(target)


def written(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    "make",
    [
        written(b"MoonPalace journal 2\n...."),
        written(b"something else"),
        written(bytes(30)),
        Path.mkdir,
        fifo,
        link,
        lambda path: path.symlink_to("nowhere"),
    ],
)
def test_what_is_no_journal_is_left_alone(
    place: Place, caplog: pytest.LogCaptureFixture, make: Callable[[Path], object]
) -> None:
    """A file of another version or another program is left alone; the log says so once, and why."""
    path = place.path(RUN_ID)
    make(path)
    before = path.lstat()
    kept = Overflow(place, RUN)
    for _ in range(2):
        kept.claim_abandoned()
    assert kept.source() is None
    assert (path.lstat().st_mode, path.lstat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    (message,) = [message for message in caplog.messages if str(path) in message]
    assert message.startswith(f"store: the journal {path} is not read: ")
    (seen,) = journal_place.files(f"sqlite:///{place.folder / place.stem}", place.folder)
    assert message.endswith(str(seen.problem))
    assert kept.add(UNITS) == UNITS  # under a name that is free
    kept.close()


def head_of(run: object) -> bytes:
    return journal_file.MAGIC + framed(json.dumps(run).encode())


@pytest.mark.parametrize(
    "head",
    [
        head_of([]),
        head_of({"id": RUN_ID}),
        head_of(RUN | {"pid": "seven"}),
        head_of(RUN | {"id": "x" * 100}),
        head_of(RUN | {"host": "\x00"}),
        journal_file.MAGIC + framed(b"[" * 200_000),
        journal_file.MAGIC + HEAD.pack(5, 1) + b"12345",
        journal_file.MAGIC + HEAD.pack(2**32 - 1, 0) + bytes(5000),
    ],
)
def test_a_journal_with_a_damaged_beginning_is_kept(
    place: Place, caplog: pytest.LogCaptureFixture, head: bytes
) -> None:
    """Units without their run are kept for inspection under another name, which the log says."""
    path = place.path(RUN_ID)
    content = head + b"".join(framed(pack(unit)) for unit in UNITS)
    path.write_bytes(content)
    for _ in range(2):
        Overflow(place, RUN).claim_abandoned()
    (kept,) = place.kept()
    assert kept.read_bytes() == content
    assert caplog.messages == [f"store: the journal {path} is not read: its beginning is damaged; it is kept as {kept}"]
    assert not path.exists()


def test_a_run_of_another_version(place: Place) -> None:
    """An unknown column of the run is ignored, and the units are read."""
    place.path(RUN_ID).write_bytes(head_of(RUN | {"invented": 1}) + framed(pack(UNITS[0])))
    kept, store, runs = Overflow(place, RUN), Store(), list[Values]()
    kept.claim_abandoned()
    source = kept.source()
    assert source is not None
    runs.append(source.journal.run)
    drain(kept, store)
    assert runs == [RUN]
    assert store.got == [(RUN_ID, "0")]


POISON = (
    b"no unit at all",
    zstandard.compress(LENGTH.pack(200_000) + b"[" * 200_000),
    pack(Unit("9", COLUMNS | {"uuid": "9", "started_at": "yesterday"})),
)


@pytest.mark.parametrize("poison", [*(framed(content) for content in POISON), HEAD.pack(3, 1) + b"abc"])
def test_a_record_that_cannot_be_read_is_kept(place: Place, caplog: pytest.LogCaptureFixture, poison: bytes) -> None:
    """The calls before and after it are stored; then the file is kept, as the log says correctly."""
    path = place.path(RUN_ID)
    content = head_of(RUN) + framed(pack(UNITS[0])) + poison + framed(pack(UNITS[1]))
    path.write_bytes(content)
    kept, store = Overflow(place, RUN), Store()
    kept.claim_abandoned()
    drain(kept, store)
    assert store.got == [(RUN_ID, "0"), (RUN_ID, "1")]
    (said,) = caplog.messages
    assert said.startswith(f"store: 2 calls stored from the journal {path}; ")
    assert_kept(place, content, said, len(poison))
    assert kept.source() is None
    assert place.paths() == []


def test_a_call_that_the_store_refuses_is_kept(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """A journal with a call that the database refuses is kept, too; kept files have distinct names."""
    for _ in range(2):
        kept, store = Overflow(place, RUN), Store()
        store.refuses = ["1"]
        kept.add(UNITS)
        drain(kept, store)
        assert [uuid for _, uuid in store.got] == ["0", "2", "3", "4"]
        assert "store: 4 calls stored from the journal" in caplog.messages[-1]
        assert "; the database refuses 1 of its calls; it is kept as " in caplog.messages[-1]
    assert [path.name for path in place.kept()] == [f"{place.path(RUN_ID).name}.kept{end}" for end in ("", "-2")]


def test_a_journal_that_cannot_be_deleted(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is finished, and the log says that it remains; the same proxy does not read it again."""
    kept, store = Overflow(place, RUN), Store()
    kept.add(UNITS)

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(journal_file, "delete", refuse)
    drain(kept, store)
    kept.claim_abandoned()
    assert kept.source() is None
    assert f"from the journal {place.path(RUN_ID)}; it is kept, " in caplog.messages[-1]


def test_a_journal_that_cannot_be_read(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After a disk error the file is set aside, so that others can be stored."""
    kept = Overflow(place, RUN)
    kept.add(UNITS)

    def fail(*_: object) -> Iterator[None]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(journal_file, "frames", fail)
    drain(kept, Store())
    assert kept.source() is None
    assert len(place.kept()) == 1
    assert "; it cannot be read any further: Input/output error; it is kept as " in caplog.text


def test_a_journal_that_cannot_be_written_is_said_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A write that failed on a full disk is reported once; partial data is overwritten when there is space again."""
    monkeypatch.setattr(overflow, "WRITE_SIZE", 1)
    kept, store = Overflow(place, RUN), Store()
    kept.add(UNITS[:1])

    def full(file: FileIO, offset: int, data: bytes) -> None:
        write_at(file, offset, data[:-3])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal_file, "write_at", full)
        for _ in range(3):
            assert kept.add(UNITS[1:]) == []
    said = [record for record in caplog.records if "cannot be written" in record.getMessage()]
    assert [record.levelno for record in said] == [logging.WARNING]
    kept.add(UNITS[1:])
    drain(kept, store)
    assert [uuid for _, uuid in store.got] == [unit.uuid for unit in UNITS]
