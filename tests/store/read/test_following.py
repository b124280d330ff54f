"""Tests of following a store: each call is reported once, after its end."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, and_, delete, event

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.read.following import LOOK_BACK, MISSING_TIMEOUT, Follower
from moonpalace_addons.store.records import exchanges, runs
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write.derive import EMPTY

STARTED = datetime(2026, 11, 22, 17, 27, 2, tzinfo=UTC)
SECOND = 10**9

type Begin = Callable[..., int]


def row(run_id: str, **changes: object) -> dict[str, object]:
    """Return a row of a call in flight."""
    begun = EMPTY | {"uuid": str(uuid4()), "run_id": run_id, "state": State.IN_FLIGHT.value, "query": ""}
    begun |= {"started_at": int(STARTED.timestamp()) * 10**6, "method": "POST", "endpoint": "e"}
    begun |= {"path": "/v1/chat/completions", "request_headers": "", "request_bytes": 0}
    return begun | {"is_stream": False, "is_coerced": False} | changes


def insert(connection: Connection, values: dict[str, object]) -> int:
    """Insert a row, and return its id."""
    (row_id,) = exchanges.insert_exchanges(connection, [values]).values()
    return row_id


@pytest.fixture
def begin(engine: Engine, run_id: str) -> Begin:
    """Give a function that stores the beginning of a call, and returns its id."""

    def store(**changes: object) -> int:
        with writing(engine) as connection:
            return insert(connection, row(run_id, **changes))

    return store


@pytest.fixture
def end(engine: Engine) -> Callable[..., None]:
    """Return a function that stores the end of a call, after this many seconds."""

    def store(row_id: int, latency: int = 1, state: State = State.COMPLETED) -> None:
        with writing(engine) as connection:
            values: dict[str, object] = {"id": row_id, "state": state.value, "latency": latency * SECOND}
            exchanges.update_exchanges(connection, [values])

    return store


@pytest.fixture
def follow(engine: Engine) -> Iterator[Callable[..., Follower]]:
    """Return a function that starts to follow the store."""
    opened: list[Follower] = []

    def start(**options: object) -> Follower:
        opened.append(Follower(engine, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield start
    for follower in opened:
        follower.close()


def ids(calls: list[exchanges.Exchange]) -> list[int]:
    """Return the ids of calls."""
    return [call.id for call in calls]


def test_calls_are_given_once_as_they_end(
    begin: Begin, end: Callable[..., None], follow: Callable[..., Follower]
) -> None:
    """A call is returned after its end, in the order of the ends, and only once."""
    old, slow = begin(state=State.COMPLETED.value), begin()
    follower = follow()
    assert ids(follower.earlier(10)) == [old]
    assert follower.ended() == []
    first, second = begin(), begin()
    assert follower.ended() == []
    end(second, 3)
    end(slow, 5)
    end(first, 4, State.UPSTREAM_FAILED)
    assert ids(follower.ended()) == [second, first, slow]
    assert follower.ended() == []


def test_earlier_calls_are_the_newest_that_are_over(begin: Begin, follow: Callable[..., Follower]) -> None:
    """`earlier` returns at most as many as requested, oldest first, without calls in flight."""
    states = [State.COMPLETED, State.TIMED_OUT, State.IN_FLIGHT, State.COMPLETED, State.IN_FLIGHT]
    rows = [begin(state=state.value) for state in states]
    follower = follow()
    assert ids(follower.earlier(2)) == [rows[1], rows[3]]
    assert ids(follower.earlier(9)) == [rows[0], rows[1], rows[3]]


def test_a_call_that_ends_at_once_is_given(begin: Begin, follow: Callable[..., Follower]) -> None:
    """A call that begins and ends between two polls is returned."""
    follower = follow()
    row_id = begin(state=State.COMPLETED.value)
    assert ids(follower.ended()) == [row_id]


@pytest.mark.parametrize("before", [True, False])
def test_a_lower_id_may_come_later(begin: Begin, follow: Callable[..., Follower], before: bool) -> None:
    """An id that was skipped, before the first poll or later, is returned when it appears."""
    follower = None if before else follow()
    begin(id=7, state=State.COMPLETED.value)
    follower = follower or follow()
    assert ids(follower.ended()) == ([] if before else [7])
    begin(id=5, state=State.COMPLETED.value)
    begin(id=6)
    assert ids(follower.ended()) == [5]


def test_skipped_ids_are_given_up(begin: Begin, follow: Callable[..., Follower]) -> None:
    """An id that is missing for longer than any transaction lasts is no longer queried."""
    now = [0.0]
    follower = follow(clock=lambda: now[0])
    begin(id=10, state=State.COMPLETED.value)
    assert ids(follower.ended()) == [10]
    now[0] = MISSING_TIMEOUT + 1
    begin(id=11, state=State.COMPLETED.value)
    assert ids(follower.ended()) == [11]
    begin(id=4, state=State.COMPLETED.value)
    assert follower.ended() == []


def test_a_leap_of_ids_costs_no_memory(begin: Begin, follow: Callable[..., Follower]) -> None:
    """If ids skip millions, only the last of the missing ones are waited for."""
    follower = follow()
    begin(id=10_000_000, state=State.COMPLETED.value)
    assert ids(follower.ended()) == [10_000_000]
    begin(id=10_000_000 - LOOK_BACK, state=State.COMPLETED.value)
    assert ids(follower.ended()) == [10_000_000 - LOOK_BACK]


def test_deleted_calls_are_forgotten(engine: Engine, begin: Begin, follow: Callable[..., Follower]) -> None:
    """A call that is deleted while in flight does not matter."""
    gone = begin()
    follower = follow()
    with writing(engine) as connection:
        connection.execute(delete(EXCHANGES).where(EXCHANGES.c.id == gone))
    assert follower.ended() == []
    row_id = begin(state=State.COMPLETED.value)
    assert ids(follower.ended()) == [row_id]


def test_conditions(begin: Begin, follow: Callable[..., Follower]) -> None:
    """Only calls that meet all conditions are followed."""
    begin(state=State.COMPLETED.value, path="/v1/models")
    wanted = begin(state=State.COMPLETED.value, method="PUT")
    since = STARTED - timedelta(hours=1)
    recent = EXCHANGES.c.started_at >= int(since.timestamp()) * 10**6
    follower = follow(chat_only=True, where=and_(EXCHANGES.c.method == "PUT", recent))
    assert ids(follower.earlier(9)) == [wanted]
    old = int((since - timedelta(seconds=1)).timestamp()) * 10**6
    over = State.COMPLETED.value
    begin(state=over, method="PUT", path="/v1/models")
    begin(state=over, method="PUT", started_at=old)
    begin(state=over)
    also = begin(state=over, method="PUT")
    assert ids(follower.ended()) == [also]


def test_looking_at_a_quiet_file_costs_one_pragma(engine: Engine, begin: Begin, file: object) -> None:
    """On SQLite nothing is read as long as nothing is written."""
    begin()
    with Follower(engine) as follower:
        asked: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
        follower.ended()
        follower.ended()
        assert [text for text in asked if text != "BEGIN"] == ["PRAGMA data_version"] * 2


@pytest.mark.parametrize("state", [State.IN_FLIGHT, State.COMPLETED])
def test_a_transaction_that_commits_late(postgres_url: str, state: State) -> None:
    """On PostgreSQL a call whose transaction commits after that of a later call is returned."""
    engine = open_store(postgres_url)
    run: dict[str, object] = {
        "id": str(uuid4()),
        "host": "h",
        "pid": 1,
        "version": "0",
        "started_at": 0,
        "heartbeat_at": 0,
    }
    with writing(engine) as connection:
        runs.begin_run(connection, run)
    run_id = str(run["id"])
    with engine.connect() as late:
        first = insert(late, row(run_id, state=state.value))
        with writing(engine) as connection:
            second = insert(connection, row(run_id, state=State.COMPLETED.value))
        with Follower(engine) as follower:
            assert ids(follower.earlier(9)) == [second]
            third_at_work = engine.connect()
            third = insert(third_at_work, row(run_id, state=State.COMPLETED.value))
            with writing(engine) as connection:
                fourth = insert(connection, row(run_id, state=State.COMPLETED.value))
            assert ids(follower.ended()) == [fourth]
            late.commit()
            third_at_work.commit()
            third_at_work.close()
            expected = {third} | ({first} if state is State.COMPLETED else set())
            assert set(ids(follower.ended())) == expected
            with writing(engine) as connection:
                exchanges.update_exchanges(connection, [{"id": first, "state": State.COMPLETED.value}])
            assert ids(follower.ended()) == ([] if state is State.COMPLETED else [first])
    engine.dispose()


STEPS = st.lists(st.tuples(st.sampled_from(["begin", "end", "look"]), st.integers(0, 50)), max_size=30)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_nothing_is_lost_and_nothing_twice(
    file: object, engine: Engine, begin: Begin, end: Callable[..., None], steps: list[tuple[str, int]]
) -> None:
    """Whatever the order of beginnings, ends and polls, each ended call is returned exactly once."""
    under_way = [begin() for _ in range(3)]
    ended: list[int] = []
    with Follower(engine) as follower:
        given_ids: list[int] = []
        for what, number in steps:
            if what == "begin":
                under_way.append(begin())
            elif what == "end" and under_way:
                ended.append(under_way.pop(number % len(under_way)))
                end(ended[-1])
            elif what == "look":
                given_ids += ids(follower.ended())
        given_ids += ids(follower.ended())
    assert sorted(given_ids) == sorted(ended)
