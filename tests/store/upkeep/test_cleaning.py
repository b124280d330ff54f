"""Tests of the clean-up: what is deleted, what is kept, and that writers continue meanwhile."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from moonpalace_addons.settings.kinds import MIN_DATABASE_SIZE
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import contents, exchanges
from moonpalace_addons.store.tasks import Task
from moonpalace_addons.store.upkeep import cleaning, retention, space, steps, unused
from moonpalace_addons.store.upkeep.retention import Rule
from moonpalace_addons.store.upkeep.steps import Pace
from moonpalace_addons.store.write.body_parts import MAX_PIECE_SIZE
from tests.batches import Batch
from tests.tasks import ended, request_read, response_started

ALL = Rule(before=datetime(2999, 1, 1, tzinfo=UTC))
LARGE = 40 * MAX_PIECE_SIZE

type Store = Callable[..., int]


@pytest.fixture
def go_on() -> threading.Event:
    """Return an event that is never set."""
    return threading.Event()


@pytest.fixture
def store(engine: Engine, run_id: str) -> Store:
    """Give a function that stores a call with this request and returns its id."""
    moments = count(1_795_368_422_000_000, 1_000_000)

    def put(body: bytes, *, under_way: bool = False) -> int:
        batch = Batch(run_id, b"k" * 32)
        call = request_read(body=body, started_at=next(moments))
        tasks: list[Task] = [call] if under_way else [call, ended(call, response=response_started(call))]
        batch.plan(tasks, keep=False)
        with writing(engine) as connection:
            batch.store(connection)
        return exchanges.latest(engine, limit=1)[0].id

    return put


def body(number: int) -> bytes:
    """Return a large body that shares nothing with those of other numbers."""
    return b'"' + b"".join(b"%d,%d;" % (number, place) for place in range(LARGE // 8))


def rows(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_pieces_go_with_their_last_call(engine: Engine, store: Store, go_on: threading.Event) -> None:
    """Data of only deleted calls is deleted; data shared with other calls is kept; no note remains."""
    for number in (1, 2, 1):
        store(body(number))
    cleaned = cleaning.clean(engine, Rule(keep_last=1), None, go_on)
    assert (cleaned.deleted, cleaned.labelled) == (2, 0)
    (left,) = exchanges.latest(engine, limit=9)
    assert contents.bodies(engine, left.id).request == body(1)
    assert rows(engine, "parts") == len(body(1)) // MAX_PIECE_SIZE + 2
    assert rows(engine, "unused_parts") == 0
    assert cleaning.clean(engine, ALL, None, go_on).deleted == 1
    assert rows(engine, "parts") == 0


def test_calls_under_way_keep_their_pieces(engine: Engine, store: Store, go_on: threading.Event) -> None:
    """The request of a call in flight is kept, even if a deleted call had the same."""
    call = store(body(1), under_way=True)
    store(body(1))
    cleaning.clean(engine, ALL, None, go_on)
    assert contents.bodies(engine, call).request == body(1)


def test_a_preview_changes_nothing(engine: Engine, store: Store) -> None:
    """A preview counts what would be deleted, by the rule and by the size, and deletes nothing."""
    for number in range(4):
        store(body(number))
    assert cleaning.preview(engine, Rule(keep_last=1), None).deleted == 3
    size = space.size(engine)
    seen = cleaning.preview(engine, Rule(), size - LARGE // 2)
    assert (seen.size_before, seen.size_after) == (size, size)
    assert 1 <= seen.deleted <= 2
    assert cleaning.preview(engine, Rule(keep_last=1), 1).deleted == 4
    assert rows(engine, "exchanges") == 4


def test_the_oldest_go_until_the_size_is_kept(engine: Engine, store: Store, go_on: threading.Event) -> None:
    """The store becomes no larger than requested, and keeps the newest calls that fit."""
    ids = [store(body(number)) for number in range(12)]
    limit = space.size(engine) - 5 * LARGE
    cleaned = cleaning.clean(engine, Rule(), limit, go_on)
    left = [call.id for call in exchanges.latest(engine, limit=99)]
    assert cleaned.size_after == space.size(engine) <= limit
    assert left == ids[: -len(left) - 1 : -1]
    assert 4 <= cleaned.deleted <= 8
    assert cleaning.clean(engine, Rule(), 1, go_on).deleted == len(left)
    assert rows(engine, "parts") == 0


def test_the_least_size_has_room_for_calls(engine: Engine) -> None:
    """An empty store leaves a fifth of the smallest allowed size for calls."""
    assert space.size(engine) <= MIN_DATABASE_SIZE * 4 / 5


def test_an_interrupted_clean_up_is_finished_by_the_next(
    engine: Engine, store: Store, go_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a clean-up dies after any step, the store is sound, and the next one leaves nothing behind."""
    monkeypatch.setattr(steps, "Pace", lambda: Pace(1, 1, 7))
    for number in (1, 2, 3, 3):
        store(body(number))
    real, rest = writing, 0

    def dying(*arguments: object, **options: object) -> object:
        nonlocal rest
        rest -= 1
        if rest < 0:
            raise KeyboardInterrupt
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(steps, "writing", dying)
    for number in (0, 1, 2, 3, 5, 8):
        rest = number
        with pytest.raises(KeyboardInterrupt):
            cleaning.clean(engine, Rule(keep_last=1), None, go_on)
        assert contents.bodies(engine, exchanges.latest(engine, limit=1)[0].id).request == body(3)
    monkeypatch.setattr(steps, "writing", real)
    cleaning.clean(engine, Rule(keep_last=1), None, go_on)
    assert (rows(engine, "parts"), rows(engine, "unused_parts")) == (len(body(3)) // MAX_PIECE_SIZE + 2, 0)


def test_what_nobody_noted_is_found(engine: Engine, store: Store, go_on: threading.Event) -> None:
    """Pieces of calls that were deleted by other programs are deleted, too."""
    store(body(1))
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM exchanges"))
    assert cleaning.sweep(engine, go_on) == len(body(1)) // MAX_PIECE_SIZE + 2
    assert (rows(engine, "parts"), rows(engine, "unused_parts")) == (0, 0)


def test_a_piece_that_comes_back_during_a_sweep_stays(engine: Engine, store: Store) -> None:
    """A piece that a call uses after the scan, or that is noted again after it, is not deleted by that sweep."""
    calls = [store(body(number)) for number in (1, 2)]
    with writing(engine, alone=True) as connection:
        retention.delete_calls(connection, calls, include_labelled=False)
    notes = unused.scan(engine)
    again = store(body(1))  # a call uses the pieces of the first again
    other = store(body(2))  # and another those of the second, and is deleted, while yet another has them
    last = store(body(2))
    with writing(engine, alone=True) as connection:
        retention.delete_calls(connection, [other], include_labelled=False)
        unused.delete_pieces(connection, notes.unused, notes.tokens)
    assert contents.bodies(engine, again).request == body(1)
    assert contents.bodies(engine, last).request == body(2)


def test_writers_go_on_during_a_clean_up(engine: Engine, store: Store, go_on: threading.Event) -> None:
    """Calls stored during clean-ups, sharing pieces with deleted ones, keep all their pieces."""
    done = threading.Event()

    def clean() -> None:
        while not done.is_set():
            cleaning.clean(engine, Rule(keep_last=3), None, go_on)

    cleaners = [threading.Thread(target=clean) for _ in range(2)]
    for cleaner in cleaners:
        cleaner.start()
    try:
        for number in range(40):
            call = store(body(number % 3))
            assert contents.bodies(engine, call).request == body(number % 3)
    finally:
        done.set()
        for cleaner in cleaners:
            cleaner.join()
    cleaning.clean(engine, Rule(keep_last=3), None, go_on)
    assert [contents.bodies(engine, call.id).request for call in exchanges.latest(engine, limit=9)] == [
        body(number % 3) for number in (39, 38, 37)
    ]
    assert rows(engine, "unused_parts") == 0


def test_a_stop_ends_it(engine: Engine, store: Store) -> None:
    """When stopped, a clean-up does nothing more and leaves the store sound."""
    call = store(body(1))
    stop = threading.Event()
    stop.set()
    assert cleaning.clean(engine, ALL, 1, stop).deleted == 0
    assert contents.bodies(engine, call).request == body(1)


@pytest.mark.parametrize("vacuum", [False, True])
def test_the_file_becomes_smaller(
    engine: Engine, file: Path, store: Store, go_on: threading.Event, vacuum: bool
) -> None:
    """After a clean-up the file is smaller, and its log is truncated; a vacuum leaves no free page."""
    for number in range(30):
        store(body(number))
    space.truncate_log(engine)
    before = file.stat().st_size
    cleaned = cleaning.clean(engine, Rule(keep_last=2), None, go_on)
    if vacuum:
        cleaned = cleaning.compact(engine, cleaned)
    after = file.stat().st_size
    assert before - after > 25 * LARGE
    assert after == cleaned.size_after
    assert file.with_name(file.name + "-wal").stat().st_size == 0
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA freelist_count")).scalar_one() == 0
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"


def test_nothing_of_deleted_calls_is_left_in_the_file(
    engine: Engine, file: Path, store: Store, go_on: threading.Event
) -> None:
    """Neither the file nor its log contains deleted pieces, although free pages are not overwritten."""
    for number in range(1_000_010, 1_000_022):
        store(body(number))
    cleaning.clean(engine, Rule(keep_last=2), None, go_on)
    left = file.read_bytes() + file.with_name(file.name + "-wal").read_bytes()
    results = [number for number in range(1_000_010, 1_000_022) if b";%d," % number in left]
    assert results == [1_000_020, 1_000_021]


def test_a_store_is_compacted_on_both_databases(engine: Engine, store: Store, go_on: threading.Event) -> None:
    """Rewriting the store keeps its contents."""
    store(body(1))
    call = store(body(2))
    cleaned = cleaning.compact(engine, cleaning.clean(engine, Rule(keep_last=1), None, go_on))
    assert cleaned.size_after < cleaned.size_before
    assert contents.bodies(engine, call).request == body(2)
