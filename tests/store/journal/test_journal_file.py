"""Tests of the journal: the file, its owner, its location, and reading it back."""

import multiprocessing
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from moonpalace_addons.store.database.file_lock import try_lock
from moonpalace_addons.store.journal import journal_file, journal_place, unit_bytes
from moonpalace_addons.store.journal.journal_file import Journal
from moonpalace_addons.store.journal.journal_place import JournalFile, Place
from moonpalace_addons.store.journal.overflow import Overflow
from moonpalace_addons.store.write.pace import Pace
from moonpalace_addons.store.write.units import Unit
from tests.store.journal.kept import COLUMNS, RUN, RUN_ID, UNITS, Store, drain


def claimed(path: Path) -> bool:
    """Return whether another process could claim a journal."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(can_claim, [path])


def can_claim(path: Path) -> bool:
    result = Journal.claim(path)
    if result is None:
        return False
    result.close()
    return True


def test_what_is_added_comes_back_in_its_order(place: Place) -> None:
    """Units are read back in slices, with the run that wrote them; afterwards the file is deleted."""
    kept, store = Overflow(place, RUN), Store()
    assert kept.add(UNITS[:3]) == UNITS[:3]
    assert kept.add(UNITS[3:]) == UNITS[3:]
    assert kept.own == place.path(RUN_ID)
    assert kept.own.stat().st_mode & 0o777 == 0o600
    assert kept.own.read_bytes().startswith(journal_file.MAGIC)
    drain(kept, store)
    assert store.got == [(RUN_ID, unit.uuid) for unit in UNITS]
    assert kept.source() is None
    assert list(place.folder.iterdir()) == []
    assert kept.add(UNITS[:1]) == UNITS[:1]  # and the next trouble begins a new one
    kept.close()


@pytest.mark.parametrize("pace", [Pace(weight=1), Pace(calls=1)])
def test_portions_are_small(place: Place, pace: Pace) -> None:
    """Only a bounded part of a journal is in memory; a failing store gets the same part again."""
    kept, store = Overflow(place, RUN), Store()
    kept.add(UNITS)
    source = kept.source()
    assert source is not None
    store.works = False
    assert not kept.take(source, store, pace)
    store.works = True
    for count in range(1, 6):
        assert kept.take(source, store, pace)
        assert len(store.got) == count
    kept.close()


def test_calls_added_while_it_is_taken_in_come_last(place: Place) -> None:
    """Calls added between two portions come after the existing ones."""
    kept, store = Overflow(place, RUN), Store()
    kept.add(UNITS[:2])
    source = kept.source()
    assert source is not None
    kept.take(source, store, Pace(calls=1))
    kept.add(UNITS[2:])
    drain(kept, store)
    assert [uuid for _, uuid in store.got] == [unit.uuid for unit in UNITS]


def test_a_stop_leaves_the_journals_of_others(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Calls of a dead proxy that are not read before the end are there for the next start, as the log says."""
    left = Overflow(place, RUN)
    left.add(UNITS)
    left.close()
    path = place.path(RUN_ID)
    kept, store = Overflow(place, RUN), Store()
    kept.claim_abandoned()
    source = kept.source()
    assert source is not None
    assert kept.take(source, store, Pace(calls=4))
    kept.close()
    assert caplog.messages[-1] == f"store: the journal {path} waits for the next start"
    again = Overflow(place, RUN)
    again.claim_abandoned()
    source = again.source()
    assert source is not None
    store.got.clear()
    assert again.take(source, store, Pace(calls=5))
    assert [uuid for _, uuid in store.got] == [unit.uuid for unit in UNITS]
    assert not path.exists()  # as soon as its last call is stored
    assert caplog.messages[-1] == f"store: 5 calls stored from the journal {path}"


def test_a_journal_belongs_to_one_at_a_time(place: Place) -> None:
    """While its writer lives nobody claims it; then one process does, and others get nothing, even when it is gone."""
    kept = Overflow(place, RUN)
    kept.add(UNITS)
    path = place.path(RUN_ID)
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
    """A process that opens a journal just before another has stored and deleted it does not store it again."""
    kept = Overflow(place, RUN)
    kept.add(UNITS)
    path = place.path(RUN_ID)
    kept.close()

    def late(descriptor: int) -> bool:
        path.unlink()
        return try_lock(descriptor)

    monkeypatch.setattr(journal_file, "try_lock", late)
    assert Journal.claim(path) is None


def test_a_call_too_large_for_a_journal_stays_in_memory(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The other calls are in the journal; the large one is reported once."""
    monkeypatch.setattr(unit_bytes, "MAX_UNPACKED_BYTES", 5_000)
    large = Unit("9", COLUMNS, request_body=bytes(10_000))
    kept = Overflow(place, RUN)
    for _ in range(2):
        assert kept.add([UNITS[0], large, UNITS[1]]) == UNITS[:2]
        assert kept.add([large]) == []
    (message,) = [message for message in caplog.messages if "waits in memory" in message]
    assert message.startswith("store: call 9 waits in memory: a call of 10")
    kept.close()


def test_calls_kept_in_a_file_of_their_own(place: Place) -> None:
    """Calls that a store refuses are in a file that nobody reads, unless it gets its name back."""
    kept = Overflow(place, RUN)
    aside = kept.keep(UNITS[:2])
    assert aside is not None
    assert aside.stat().st_mode & 0o777 == 0o600
    kept.claim_abandoned()
    assert kept.source() is None
    aside.rename(place.path(RUN_ID))
    kept.claim_abandoned()
    store = Store()
    drain(kept, store)
    assert [uuid for _, uuid in store.got] == ["0", "1"]


def test_a_store_without_a_place_has_no_journal(caplog: pytest.LogCaptureFixture) -> None:
    """A database in memory has no journal: rows stay in memory."""
    kept = Overflow(None, RUN)
    assert kept.add(UNITS) == []
    kept.claim_abandoned()
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
    """Next to an SQLite file; else in the home folder, by server and database, without user and password."""
    result = journal_place.place(make_url(url), Path("/home/m"))
    if result is None:
        assert expected is None
        return
    digest = result.stem.partition("-")[2]
    assert str(result.path("R")) == (expected or "").format(digest)


def test_each_database_has_journals_of_its_own(tmp_path: Path) -> None:
    """Users and passwords do not matter, but servers and databases do."""
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
        if (found := journal_place.place(make_url(f"postgresql+psycopg://{url}"), tmp_path)) is not None
    ]
    assert len(stems) == 7
    assert len(set(stems)) == 6
    assert stems[0] == stems[1]


def test_journals_can_be_listed(place: Place) -> None:
    """Only the journals of this store are listed, with their sizes, and whether a proxy uses them."""
    url = f"sqlite:///{place.folder / place.stem}"
    assert journal_place.files(url, place.folder) == []
    for name in ("other.sqlite.run.journal", "calls.sqlite-journal", "calls.sqlite"):
        (place.folder / name).touch()
    kept = Overflow(place, RUN)
    kept.add(UNITS)
    path = place.path(RUN_ID)
    assert journal_place.files(url, place.folder) == [JournalFile(path, path.stat().st_size, in_use=True)]
    kept.close()
    assert [file.in_use for file in journal_place.files(url, place.folder)] == [False]
