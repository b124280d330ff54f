"""Tests of the journal: the file, who has it, where it is, and how it comes back."""

import logging
import multiprocessing
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from moonpalace_addons.store import derive
from moonpalace_addons.store.file_lock import try_lock
from moonpalace_addons.store.journal import journal_file, overflow
from moonpalace_addons.store.journal.framing import write_at
from moonpalace_addons.store.journal.journal_file import Journal, JournalFile, Place
from moonpalace_addons.store.journal.overflow import Overflow
from moonpalace_addons.store.journal.unit_bytes import pack
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.units import Ending, Unit

RUN: Values = {"id": "run-1", "host": "here", "pid": 7, "version": "1"}
UNITS = [
    Unit(str(number), derive.EMPTY | {"uuid": str(number)}, ending=Ending(b"x" * 50, None, ())) for number in range(5)
]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give the place of the journals of a store."""
    return Place(tmp_path, "calls.sqlite")


class Store:
    """A store that takes everything, or nothing."""

    def __init__(self) -> None:
        self.works = True
        self.got: list[tuple[str, str]] = []

    def __call__(self, units: Sequence[Unit], run: Values) -> bool:
        """Take units."""
        self.got += [(str(run["id"]), unit.uuid) for unit in units] if self.works else []
        return self.works


def drain(kept: Overflow, store: Callable[..., bool]) -> None:
    while (source := kept.source()) and kept.take(source, store):
        pass


def claimed(path: Path) -> bool:
    """Tell whether another process could take a journal."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(can_claim, [path])


def can_claim(path: Path) -> bool:
    found = Journal.claim(path)
    if found is None:
        return False
    found.close()
    return True


def test_what_is_added_comes_back_in_its_order(place: Place) -> None:
    """Units come back in slices, with the run that wrote them; afterwards the file is gone."""
    kept, store = Overflow(place, RUN), Store()
    assert kept.add(UNITS[:3]) == UNITS[:3]
    assert kept.add(UNITS[3:]) == UNITS[3:]
    assert kept.own == place.path("run-1")
    assert kept.own.stat().st_mode & 0o777 == 0o600
    assert kept.own.read_bytes().startswith(journal_file.MAGIC)
    drain(kept, store)
    assert store.got == [("run-1", unit.uuid) for unit in UNITS]
    assert kept.source() is None
    assert list(place.folder.iterdir()) == []
    assert kept.add(UNITS[:1]) == UNITS[:1]  # and the next trouble begins a new one
    kept.close()


def test_slices_are_small(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is in a journal, a bounded part of it is in memory; a store in trouble gets the same part again."""
    monkeypatch.setattr(overflow, "PIECE", 1)
    kept, store = Overflow(place, RUN), Store()
    kept.add(UNITS)
    source = kept.source()
    assert source is not None
    store.works = False
    assert not kept.take(source, store)
    store.works = True
    for count in range(1, 6):
        assert kept.take(source, store)
        assert len(store.got) == count
    kept.close()


def test_calls_added_while_it_is_taken_in_come_last(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is added between two slices comes after what was there."""
    monkeypatch.setattr(overflow, "PIECE", 1)
    kept, store = Overflow(place, RUN), Store()
    kept.add(UNITS[:2])
    source = kept.source()
    assert source is not None
    kept.take(source, store)
    kept.add(UNITS[2:])
    drain(kept, store)
    assert [uuid for _, uuid in store.got] == [unit.uuid for unit in UNITS]


def test_a_torn_tail_is_ignored(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever a crash has cut the file, the calls before that are taken in, and the file goes."""
    kept = Overflow(place, RUN)
    kept.add(UNITS)
    kept.close()
    path = place.path("run-1")
    whole = path.read_bytes()
    sizes = [len(pack(unit)) + 8 for unit in UNITS]
    ends = [len(whole) - sum(sizes[count:]) for count in range(6)]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        caplog.clear()
        again, store = Overflow(place, RUN | {"id": "run-2"}), Store()
        again.look()
        drain(again, store)
        count = sum(end <= cut for end in ends[1:])
        assert store.got == [("run-1", unit.uuid) for unit in UNITS[:count]]
        assert not path.exists()
        assert ("had not been written whole" in caplog.text) == (cut > ends[0] and cut not in ends)


def test_a_journal_belongs_to_one_at_a_time(place: Place) -> None:
    """As long as its writer lives nobody takes it; then one does, and others get nothing, nor when it is gone."""
    kept = Overflow(place, RUN)
    kept.add(UNITS)
    path = place.path("run-1")
    assert not claimed(path)
    assert Journal.claim(path) is None
    kept.close()
    assert claimed(path)
    first = Journal.claim(path)
    assert first is not None
    assert not claimed(path)
    first.delete()
    assert Journal.claim(path) is None


def test_a_journal_that_was_deleted_before_the_lock_is_not_taken(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens a journal just before another has taken it in and deleted it, does not take it in again."""
    kept = Overflow(place, RUN)
    kept.add(UNITS)
    path = place.path("run-1")
    kept.close()

    def late(descriptor: int) -> bool:
        path.unlink()
        return try_lock(descriptor)

    monkeypatch.setattr(journal_file, "try_lock", late)
    assert Journal.claim(path) is None


@pytest.mark.parametrize("content", [b"MoonPalace journal 2\n....", b"something else", b"\x00" * 30])
def test_what_is_no_journal_is_left_alone(place: Place, caplog: pytest.LogCaptureFixture, content: bytes) -> None:
    """A file of another version, or of somebody else, stays as it is, and the log says so once."""
    path = place.path("run-1")
    path.write_bytes(content)
    kept = Overflow(place, RUN)
    for _ in range(2):
        kept.look()
    assert kept.source() is None
    assert path.read_bytes() == content
    assert len([message for message in caplog.messages if str(path) in message]) == 1


def test_a_journal_that_cannot_be_written_is_said_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a full disk has not taken is told; what it took of a piece is overwritten once there is room again."""
    monkeypatch.setattr(overflow, "PIECE", 1)
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


def test_a_store_without_a_place_has_no_journal(caplog: pytest.LogCaptureFixture) -> None:
    """A database in memory has no journal: rows stay in memory."""
    kept = Overflow(None, RUN)
    assert kept.add(UNITS) == []
    kept.look()
    assert kept.source() is None
    assert "the journal cannot be written" in caplog.text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////data/calls.sqlite", "/data/calls.sqlite.R.journal"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("postgresql+psycopg://u:p@db:5432/team", "/home/m/postgresql-{}.R.journal"),
    ],
)
def test_where_journals_are(url: str, expected: str | None) -> None:
    """Beside an SQLite file; else in the home folder, by server and database, without user and password."""
    found = journal_file.place(make_url(url), Path("/home/m"))
    if found is None:
        assert expected is None
        return
    digest = found.stem.partition("-")[2]
    assert str(found.path("R")) == (expected or "").format(digest)


def test_each_database_has_journals_of_its_own(tmp_path: Path) -> None:
    """Users and passwords do not matter, servers and databases do."""
    urls = (
        "u:p@db/team",
        "v@db/team",
        "db/other",
        "other/team",
        ":5433/team",
        "/team?host=/run/pg",
        "/team?host=/other",
    )
    stems = [
        found.stem
        for url in urls
        if (found := journal_file.place(make_url(f"postgresql+psycopg://{url}"), tmp_path)) is not None
    ]
    assert len(stems) == 7
    assert len(set(stems)) == 6
    assert stems[0] == stems[1]


def test_journals_can_be_listed(place: Place) -> None:
    """Those of this store and no other are listed with their sizes, and whether a proxy has them."""
    url = f"sqlite:///{place.folder / place.stem}"
    assert journal_file.files(url, place.folder) == []
    for name in ("other.sqlite.run.journal", "calls.sqlite-journal", "calls.sqlite"):
        (place.folder / name).touch()
    kept = Overflow(place, RUN)
    kept.add(UNITS)
    path = place.path("run-1")
    assert journal_file.files(url, place.folder) == [JournalFile(path, path.stat().st_size, in_use=True)]
    kept.close()
    assert [file.in_use for file in journal_file.files(url, place.folder)] == [False]
