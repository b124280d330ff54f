"""Tests of the contents of calls."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import contents
from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.tasks import State
from moonpalace_addons.wire.forms import Form, form_of
from tests.batches import Batch
from tests.carried import carry
from tests.store.added import Add
from tests.tasks import ENCODERS, ended, request_read, response_started


def test_bodies_and_times_come_back(engine: Engine, add: Add) -> None:
    """Both bodies, the stream and the arrival times of its chunks are read back; an unknown call has none."""
    call = add()
    assert contents.bodies(engine, call) == Bodies(b"x", b"x", b"data: 1\n\n")
    assert contents.event_times(engine, call) == [(9, 5)]
    assert contents.bodies(engine, call + 1) == Bodies(None, None, None)
    assert contents.event_times(engine, call + 1) == []


def test_each_thread_has_a_compressor() -> None:
    """A thread keeps its compressor, which two threads must not use at once."""
    with ThreadPoolExecutor(1) as thread:
        others = [thread.submit(lambda: contents.COMPRESSOR.compress).result() for _ in range(2)]
    assert others[0] == others[1] != contents.COMPRESSOR.compress


@pytest.mark.parametrize("chunks", [[], [(9, 5)], [(0, 7), (5, 7), (5, 3), (2**40, 2**62)]])
def test_the_times_of_chunks_come_back(engine: Engine, add: Add, chunks: list[tuple[int, int]]) -> None:
    """Offsets and times are exact to the nanosecond, even if a clock or a chunk did not advance."""
    call = add()
    with writing(engine) as connection:
        contents.delete_answers(connection, [call])
        carry(connection, call, stream=b"", chunks=chunks)
    assert contents.event_times(engine, call) == chunks


def test_segments_are_joined_in_their_order(engine: Engine, add: Add) -> None:
    """For a call in flight, the stored part of the answer is its stream, even beyond ten segments."""
    call = add(state=State.IN_FLIGHT)
    with writing(engine) as connection:
        contents.delete_answers(connection, [call])
        contents.delete_segments(connection, [call])
        segments = [(number, b"%d," % number, [(number, 7)]) for number in range(11, -1, -1)]
        carry(connection, call, segments=segments)
        joined = contents.received_so_far(connection, call)
    assert joined == (b"0,1,2,3,4,5,6,7,8,9,10,11,", [(number, 7) for number in range(12)])
    assert contents.bodies(engine, call) == Bodies(b"x", None, joined[0])


def test_answers_are_deleted_without_requests(engine: Engine, add: Add) -> None:
    """`delete_answers` only deletes the response and the stream of those calls."""
    first, second = add(), add(uuid="b")
    with writing(engine) as connection:
        contents.delete_answers(connection, [first])
    assert contents.bodies(engine, first) == Bodies(b"x", None, b"x")  # the segment is all that is left
    assert contents.bodies(engine, second) == Bodies(b"x", b"x", b"data: 1\n\n")


def test_many_calls_are_deleted_at_once(engine: Engine, add: Add, rows: Callable[[str], int]) -> None:
    """More calls than a statement can have values can be deleted."""
    call, most = add(), {"sqlite": 250_000, "postgresql": 65_535}[engine.dialect.name]
    with writing(engine) as connection:
        contents.delete_segments(connection, [*range(1000, 1000 + most), call])
    assert rows("response_segments") == 0


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=st.binary(max_size=6000), chunks=st.lists(st.binary(max_size=400), max_size=8), data=st.data())
def test_any_bytes_come_back_equal(
    engine: Engine, run_id: str, request: bytes, chunks: list[bytes], data: st.DataObject
) -> None:
    """Any request and answer are read back decoded, whatever their encoding, type and chunks."""
    asked, answered = (data.draw(st.sampled_from(list(ENCODERS))) for _ in range(2))
    content_type = data.draw(st.sampled_from([None, "application/json", "text/event-stream"]))
    body = b"".join(chunks)
    sent = ENCODERS[answered](body)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=4)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    call = request_read(body=ENCODERS[asked](request), content_encoding=asked)
    answer = response_started(call, pieces, content_type=content_type, content_encoding=answered)
    batch = Batch(run_id, b"k" * 32)
    batch.plan([call, answer, ended(call)], keep=False)
    with writing(engine) as connection:
        batch.store(connection)
    batch.stored()
    ((stored, *_),) = batch.finished()
    kept = contents.bodies(engine, stored.id)
    assert kept.request == request
    is_stream = form_of(body, content_type, is_over=True) is Form.EVENTS
    assert (kept.event_stream if is_stream else kept.response) == body
