"""Tests of the queries and changes that the store knows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from moonpalace_addons.store.batch import Batch
from moonpalace_addons.store.derive import EMPTY
from moonpalace_addons.store.engine import writing
from moonpalace_addons.store.records import contents, exchanges, retention, values
from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.records.values import GREATEST
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State

MOMENT = datetime(2026, 11, 22, 17, 27, 2, tzinfo=UTC)
CONTENTS = ("bodies", "event_streams", "response_segments")

type Add = Callable[..., int]


@pytest.fixture
def add(engine: Engine, run_id: str) -> Add:
    """Give a function that stores a call of nearly no content and returns its id."""

    def store(**changes: object) -> int:
        row = EMPTY | {
            "uuid": str(len(exchanges.latest(engine, limit=1000))),
            "run_id": run_id,
            "state": State.COMPLETED,
        }
        row |= {"started_at": int(MOMENT.timestamp()) * 10**6, "method": "POST", "endpoint": "e", "query": ""}
        row |= {"path": "/v1/chat/completions", "request_headers": "", "request_bytes": 0}
        row |= {"is_stream": False, "is_coerced": False}
        with writing(engine) as connection:
            (row_id,) = exchanges.insert_exchanges(connection, [row | changes]).values()
            bodies = [contents.Body(row_id, side, b"x") for side in ("request", "response")]
            stream = contents.Stream(row_id, b"data: 1\n\n", [(9, 5)])
            contents.insert_contents(connection, bodies, [stream], [contents.Segment(row_id, 0, b"x", [])])
        return row_id

    return store


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_the_latest_calls_come_first(engine: Engine, add: Add) -> None:
    """`latest` gives at most as many calls as asked for, newest first; chat_only leaves other paths out."""
    paths = ["/v1/chat/completions", "/v1/models", "/other/v1/chat/completions", "/v1/chat/completions/x"]
    ids = [add(path=path, uuid=path) for path in paths]
    assert [call.id for call in exchanges.latest(engine, limit=3)] == ids[:0:-1]
    assert [call.id for call in exchanges.latest(engine, limit=9, chat_only=True)] == [ids[2], ids[0]]
    assert len(exchanges.latest(engine, limit=10**30)) == 4
    assert exchanges.latest(engine, limit=0) == []


def test_a_call_comes_back_as_it_was_stored(engine: Engine, add: Add) -> None:
    """Moments are exact to the microsecond and in UTC; warnings and changes are tuples of texts."""
    add(started_at=1_795_368_422_123_457, warnings='["一", "b\\ud83d"]', changes='["c"]', output_tokens_per_second=1.5)
    (call,) = exchanges.latest(engine, limit=1)
    assert call.started_at == datetime(2026, 11, 22, 17, 27, 2, 123457, UTC)
    assert (call.warnings, call.changes) == (("一", "b\ud83d"), ("c",))
    assert (call.state, call.output_tokens_per_second) == (State.COMPLETED, 1.5)
    assert isinstance(call.state, State)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"id": 1}, [1]),
        ({"chatcmpl": "c"}, [2, 1]),
        ({"request_id": "r2"}, [2]),
        ({"id": 1, "chatcmpl": "c"}, [1]),
        ({"id": 1, "request_id": "r2"}, []),
        ({"id": 2, "chatcmpl": "c", "request_id": "r2"}, [2]),
        ({"chatcmpl": "C"}, []),
        ({"id": 10**30}, []),
        ({"id": -(10**30)}, []),
        ({"chatcmpl": "\udcff"}, []),
        ({}, [3, 2, 1]),
    ],
)
def test_calls_are_found_by_all_given_identifiers(
    engine: Engine, add: Add, given: dict[str, object], found: list[int]
) -> None:
    """All identifiers must hold; an identifier that no column can hold finds nothing."""
    add(chatcmpl_id="c", msh_request_id="r1")
    add(chatcmpl_id="c", msh_request_id="r2")
    add()
    assert [call.id for call in exchanges.find(engine, **given)] == found  # type: ignore[arg-type]


def test_bodies_and_times_come_back(engine: Engine, add: Add) -> None:
    """Both bodies, the stream and the arrival times of its chunks come back; of an unknown call there is nothing."""
    call = add()
    assert contents.bodies(engine, call) == Bodies(b"x", b"x", b"data: 1\n\n")
    assert contents.event_times(engine, call) == [(9, 5)]
    assert contents.bodies(engine, call + 1) == Bodies(None, None, None)
    assert contents.event_times(engine, call + 1) == []


def test_segments_are_joined_in_their_order(engine: Engine, add: Add) -> None:
    """Of a call under way, what has been stored of its answer is its stream so far, also past ten segments."""
    call = add(state=State.IN_FLIGHT)
    with writing(engine) as connection:
        contents.delete_answers(connection, [call])
        contents.delete_segments(connection, [call])
        rows = [contents.Segment(call, number, b"%d," % number, [(number, 7)]) for number in range(11, -1, -1)]
        contents.insert_contents(connection, [], [], rows)
        joined = contents.received_so_far(connection, call)
    assert joined == (b"0,1,2,3,4,5,6,7,8,9,10,11,", [(number, 7) for number in range(12)])
    assert contents.bodies(engine, call) == Bodies(b"x", None, joined[0])


def test_old_calls_are_deleted_with_what_they_carried(engine: Engine, add: Add) -> None:
    """Calls that began before the moment go, with all their contents; the others, and calls under way, stay."""
    old = add(uuid="old")
    add(uuid="under way", state=State.IN_FLIGHT)
    add(uuid="new", started_at=int((MOMENT + timedelta(seconds=1)).timestamp()) * 10**6)
    later = MOMENT + timedelta(microseconds=1)
    assert (retention.count_before(engine, MOMENT), retention.delete_before(engine, MOMENT)) == (0, 0)
    assert (retention.count_before(engine, later), retention.delete_before(engine, later)) == (1, 1)
    assert [call.uuid for call in exchanges.latest(engine, limit=9)] == ["new", "under way"]
    assert contents.bodies(engine, old) == Bodies(None, None, None)
    assert [count(engine, table) for table in CONTENTS] == [4, 2, 2]


def test_the_id_of_a_deleted_call_is_not_used_again(engine: Engine, add: Add) -> None:
    """After all calls are deleted the numbers go on."""
    last = [add(), add(uuid="b")][-1]
    assert retention.delete_before(engine, MOMENT + timedelta(days=1)) == 2
    assert add() == last + 1


def test_answers_are_deleted_without_requests(engine: Engine, add: Add) -> None:
    """`delete_answers` takes the response and the stream of those calls alone."""
    first, second = add(), add(uuid="b")
    with writing(engine) as connection:
        contents.delete_answers(connection, [first])
    assert contents.bodies(engine, first) == Bodies(b"x", None, b"x")  # the segment is all that is left
    assert contents.bodies(engine, second) == Bodies(b"x", b"x", b"data: 1\n\n")


def test_many_calls_are_deleted_at_once(engine: Engine, add: Add) -> None:
    """More calls than a statement can have values are no trouble."""
    call = add()
    with writing(engine) as connection:
        contents.delete_segments(connection, [*range(1000, 301_000), call])
    assert count(engine, "response_segments") == 0


def test_rows_are_updated_by_their_ids(engine: Engine, add: Add) -> None:
    """Each row gets its own values, and rows that are not named none; the greatest integer fits."""
    ids = [add(uuid=str(number)) for number in range(3)]
    with writing(engine) as connection:
        rows: list[values.Values] = [{"id": ids[0], "latency": GREATEST}, {"id": ids[2], "latency": 5}]
        exchanges.update_exchanges(connection, rows)
    assert [call.latency for call in exchanges.latest(engine, limit=3)] == [5, None, GREATEST]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=st.binary(max_size=3000), chunks=st.lists(st.binary(max_size=400), max_size=8), data=st.data())
def test_any_bytes_come_back_equal(
    engine: Engine,
    run_id: str,
    encoded: dict[str | None, Callable[[bytes], bytes]],
    request_read: Callable[..., RequestRead],
    response_started: Callable[..., ResponseStarted],
    ended: Callable[..., ExchangeEnded],
    request: bytes,
    chunks: list[bytes],
    data: st.DataObject,
) -> None:
    """Any request and answer come back decoded, whatever their encoding, their type and the cuts between chunks."""
    asked, answered = (data.draw(st.sampled_from(list(encoded))) for _ in range(2))
    content_type = data.draw(st.sampled_from([None, "application/json", "text/event-stream"]))
    body = b"".join(chunks)
    sent = encoded[answered](body)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=4)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    call = request_read(body=encoded[asked](request), content_encoding=asked)
    answer = response_started(call, pieces, content_type=content_type, content_encoding=answered)
    batch = Batch(run_id, b"k" * 32)
    batch.plan([call, answer, ended(call)], keep=False)
    with writing(engine) as connection:
        batch.store(connection)
    batch.stored()
    (stored,) = batch.finished()
    kept = contents.bodies(engine, stored.id)
    assert kept.request == request
    assert (kept.event_stream if content_type == "text/event-stream" else kept.response) == body
