"""Tests of writing the units of calls, once and repeatedly."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import contents, exchanges
from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write import units
from moonpalace_addons.store.write.batch import Batch
from moonpalace_addons.store.write.units import Unit
from tests.carried import carry
from tests.tasks import ended, request_read, response_started

STREAM = b'data: {"id": "c", "choices": [{"index": 0, "delta": {"content": "ab"}, "finish_reason": "stop"}]}\n\n'
MERGED = b'"content": "ab"'

type MakeUnits = Callable[[], tuple[Unit, Unit]]


@pytest.fixture
def call_units(run_id: str) -> MakeUnits:
    """Give a function that returns the beginning of a streamed call, with a piece of its answer, and its end."""

    def make() -> tuple[Unit, Unit]:
        batch = Batch(run_id, b"k" * 32)
        call = request_read()
        answer = response_started(call, [STREAM[:40]], content_type="text/event-stream")
        batch.plan([call, answer], keep=True)
        first = replace(batch.units[call.uuid], columns=dict(batch.units[call.uuid].columns))
        batch.hand_over([call.uuid])
        answer.chunks.append((5_000_000, STREAM[40:]))
        batch.plan([ended(call)], keep=True)
        return first, batch.units.pop(call.uuid)

    return make


def rewrite(engine: Engine, *given: Unit) -> dict[str, int]:
    with writing(engine) as connection:
        return units.rewrite(connection, given)


def segments(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM response_segments")).scalar_one())


def assert_whole(engine: Engine, row_id: int) -> None:
    (row,) = exchanges.latest(engine, limit=9)
    kept = contents.bodies(engine, row_id)
    assert (row.id, row.state, row.finish_reason, row.latency) == (row_id, State.COMPLETED, "stop", 9_000_000)
    assert kept.request is not None
    assert kept.event_stream == STREAM
    assert MERGED in (kept.response or b"")
    assert contents.event_times(engine, row_id) == [(40, 2_000_000), (len(STREAM), 5_000_000)]
    assert segments(engine) == 0


@pytest.mark.parametrize(
    "order", ["be", "bbe", "bee", "bebe", "ebe", "(be)", "(be)(be)", "b(be)e"], ids=lambda order: order
)
def test_whatever_is_written_again_is_there_once(engine: Engine, call_units: MakeUnits, order: str) -> None:
    """Beginning and end of a call may be written any number of times, in one transaction or several: one row."""
    begin, end = call_units()
    last: dict[str, int] = {}
    for group in order.replace("(be)", "m"):
        given = {"b": [begin], "e": [end], "m": units.merged([begin, end])}[group]
        ids = rewrite(engine, *given)
        assert last in ({}, ids)
        last = ids
    if order.startswith("e"):  # the beginning, with the request, is not expected after the end
        assert contents.bodies(engine, last[begin.uuid]).event_stream == STREAM
    else:
        assert_whole(engine, last[begin.uuid])


def test_a_beginning_alone_is_a_call_under_way(engine: Engine, call_units: MakeUnits) -> None:
    """A call with only its beginning has a row, its request, and the partial answer."""
    begin, _ = call_units()
    for _ in range(2):
        ids = rewrite(engine, begin)
        assert contents.bodies(engine, ids[begin.uuid]) == Bodies(bytes(begin.request_body or b""), None, STREAM[:40])
    assert [row.state for row in exchanges.latest(engine, limit=9)] == [State.IN_FLIGHT]
    assert segments(engine) == 1


def test_the_true_end_wins_over_a_supposed_death(engine: Engine, call_units: MakeUnits) -> None:
    """A row that another proxy finished as `proxy_died` gets the actual end of the call; labels stay."""
    begin, end = call_units()
    row_id = rewrite(engine, begin)[begin.uuid]
    with writing(engine) as connection:
        died = {"id": row_id, "state": State.PROXY_DIED, "error_kind": "proxy_died", "category": "goodcase"}
        exchanges.update_exchanges(connection, [died])
        contents.delete_segments(connection, [row_id])
        carry(connection, row_id, response=b"?", stream=b"?")
    rewrite(engine, begin)
    assert exchanges.latest(engine, limit=1)[0].state == State.PROXY_DIED
    rewrite(engine, end)
    assert_whole(engine, row_id)
    (row,) = exchanges.latest(engine, limit=9)
    assert (row.error_kind, row.category) == (None, "goodcase")


def test_calls_with_and_without_rows_are_written_together(engine: Engine, call_units: MakeUnits) -> None:
    """One transaction takes new calls, calls in progress and ended calls, more than fit one statement."""
    pairs = [call_units() for _ in range(600)]
    rewrite(engine, *(begin for begin, _ in pairs[:300]))
    rewrite(engine, *(end for _, end in pairs[:100]))
    ids = rewrite(engine, *units.merged([unit for pair in pairs for unit in pair]))
    rows = exchanges.latest(engine, limit=1000)
    assert len(ids) == len(rows) == 600
    assert {row.state for row in rows} == {State.COMPLETED}
    assert segments(engine) == 0
