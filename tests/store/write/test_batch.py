"""Tests of turning tasks into rows."""

import json
from array import array

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import IntegrityError

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.pricing.pricing import Pricing
from moonpalace_addons.store.records import contents, exchanges
from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.tasks import Chunks, ProxyEnded, State, Task
from moonpalace_addons.store.write import derive, units
from moonpalace_addons.store.write.ongoing import Answer
from moonpalace_addons.wire.prices import PriceRule, Rates
from tests.batches import Batch
from tests.carried import carry
from tests.tasks import ended, request_read, response_started

STREAM = b'data: {"id": "c", "choices": [{"index": 0, "delta": {"content": "ab"}, "finish_reason": "stop"}]}\n\n'


def commit(engine: Engine, batch: Batch, *tasks: Task | ProxyEnded, keep: bool = False) -> list[str]:
    """Store these tasks; return the tables that statements changed, in their order."""
    statements: list[str] = []

    def note(_: Connection, __: object, statement: str, *___: object) -> None:
        words = statement.split()
        if words[0] in ("INSERT", "UPDATE", "DELETE"):
            statements.append(" ".join([words[0], words[2 if words[0] != "UPDATE" else 1]]))

    batch.plan(tasks, keep=keep)
    event.listen(engine, "before_cursor_execute", note)
    with writing(engine) as connection:
        batch.store(connection)
    event.remove(engine, "before_cursor_execute", note)
    batch.stored()
    return statements


def test_a_call_that_begins_and_ends_in_a_batch_costs_one_insert(engine: Engine, batch: Batch) -> None:
    """Such a call is never updated; all such calls of a batch are inserted together."""
    tasks: list[Task] = []
    for _ in range(3):
        call = request_read()
        tasks += [call, ended(call, response=response_started(call))]
    assert commit(engine, batch, *tasks) == ["INSERT parts", "INSERT exchanges"]
    finished = [call for call, *_ in batch.finished()]
    assert finished == exchanges.latest(engine, limit=9)[::-1]
    assert [call.state for call in finished] == [State.COMPLETED] * 3
    assert batch.finished() == []
    assert (batch.planned, batch.under_way) == (0, False)


def test_words_of_the_user(engine: Engine, batch: Batch) -> None:
    """An ended call has the last words of its request, for the log; one in flight is stored first."""
    messages = [{"role": "user", "content": "what is 中文?"}, {"role": "assistant", "content": "so far"}]
    call = request_read(body=json.dumps({"messages": messages}).encode())
    commit(engine, batch, call)
    commit(engine, batch, ended(call))
    assert [finished.words for finished in batch.finished()] == ["what is 中文?"]


def test_words_that_nobody_wants(engine: Engine, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the user's words are not required, requests are not searched for them; their fields are still read."""
    monkeypatch.setattr(derive, "last_words", None)
    batch = Batch(run_id, b"k" * 32, reads_words=False)
    call = request_read(body=json.dumps({"n": 2, "messages": [{"role": "user", "content": "hello"}]}).encode())
    commit(engine, batch, call, ended(call))
    assert [(finished.words, finished.fields) for finished in batch.finished()] == [("", {"n": 2})]


@pytest.mark.parametrize("said", ["user", "assistant"])
def test_a_conversation_that_goes_on(engine: Engine, batch: Batch, said: str) -> None:
    """A request that continues an earlier one is read like any other, and only its new part takes memory."""
    messages = [{"role": "user", "content": f"{number} " + "word " * 400} for number in range(30)]
    for turn in range(3):
        messages.append({"role": said, "content": f"turn {turn} of {said}"})
        body = json.dumps({"messages": messages, "model": f"k{turn}", "metadata": {"n": turn}, "n": turn}).encode()
        call = request_read(body=body)
        batch.plan([call], keep=False)
        unit = batch.units[call.uuid]
        assert turn == 0 or unit.weight < 10_000
        assert unit.size > len(body)
        commit(engine, batch, ended(call))
        (finished,) = batch.finished()
        assert (finished.fields, finished.words) == derive.request_content(body)
        assert contents.request_body(engine, finished.call.id) == body


def test_a_call_over_several_batches_is_one_row(engine: Engine, batch: Batch) -> None:
    """Its row is stored at the beginning, its partial answer at each keep, and at the end only the whole."""
    call = request_read()
    answer = response_started(call, [STREAM[:50]], content_type="text/event-stream")
    assert commit(engine, batch, call) == ["INSERT parts", "INSERT exchanges"]
    (row,) = exchanges.latest(engine, limit=9)
    assert (row.state, row.status_code, contents.bodies(engine, row.id)) == (
        State.IN_FLIGHT,
        None,
        Bodies(call.body, None, None),
    )
    assert commit(engine, batch, answer) == []
    assert commit(engine, batch, keep=True) == ["UPDATE exchanges", "INSERT response_segments"]
    assert (exchanges.latest(engine, limit=9)[0].status_code, batch.under_way) == (200, True)
    assert contents.bodies(engine, row.id) == Bodies(call.body, None, STREAM[:50])
    assert commit(engine, batch, keep=True) == []
    answer.chunks.append((3_000_000, STREAM[50:]))
    assert commit(engine, batch, keep=True) == ["INSERT response_segments"]
    assert contents.bodies(engine, row.id).event_stream == STREAM
    statements = commit(engine, batch, ended(call), keep=True)
    assert statements == ["INSERT parts", "UPDATE exchanges", "DELETE response_segments", "INSERT event_streams"]
    assert [call for call, *_ in batch.finished()] == exchanges.latest(engine, limit=9)
    kept = contents.bodies(engine, row.id)
    assert (kept.event_stream, b'"content": "ab"' in (kept.response or b"")) == (STREAM, True)
    assert contents.event_times(engine, row.id) == [(50, 2_000_000), (len(STREAM), 3_000_000)]


def test_a_keep_in_the_first_batch_is_stored_with_the_row(engine: Engine, batch: Batch) -> None:
    """A call whose answer begins in the same batch has status and segment at once, without an update."""
    call = request_read()
    statements = commit(engine, batch, call, response_started(call, [b"abc"]), keep=True)
    assert statements == ["INSERT parts", "INSERT exchanges", "INSERT response_segments"]
    assert exchanges.latest(engine, limit=1)[0].status_code == 200


def test_calls_of_a_proxy_that_has_ended(engine: Engine, batch: Batch) -> None:
    """They ended with it, each with the data received so far; calls that had ended before keep their ends."""
    asked, answered, streamed, over = (request_read() for _ in range(4))
    came = Chunks([streamed.uuid], array("q", [2]), array("q", [2_005, 2_009]), array("q", [3, 1]), b"some")
    answers = [response_started(call, [], at=1_000) for call in (answered, streamed)]
    tasks: list[Task | ProxyEnded] = [asked, answered, streamed, over, *answers, came, ended(over), ProxyEnded()]
    commit(engine, batch, *tasks)
    rows = {row.uuid: (row.state, row.error_kind, row.latency) for row in exchanges.latest(engine, limit=9)}
    died = [rows[call.uuid] for call in (asked, answered, streamed)]
    assert died == [(State.PROXY_DIED, "proxy_died", at) for at in (0, 1_000, 2_009)]
    assert rows[over.uuid][0] is State.COMPLETED
    assert batch.under_way == 0


def test_a_batch_that_failed_is_stored_again(engine: Engine, batch: Batch) -> None:
    """A rolled back transaction leaves the batch unchanged: another attempt gives the same rows."""
    call = request_read()
    batch.plan([call, response_started(call, [b"ab"])], keep=True)
    with engine.connect() as connection:
        batch.store(connection)  # and never committed
    batch.plan([], keep=True)
    commit(engine, batch)
    (row,) = exchanges.latest(engine, limit=9)
    assert contents.bodies(engine, row.id) == Bodies(call.body, None, b"ab")


def test_nothing_is_lost_of_pieces_that_wait(engine: Engine, batch: Batch) -> None:
    """Pieces planned while the store was unavailable are all stored afterwards."""
    call = request_read()
    answer = response_started(call, [b"a"])
    batch.plan([call, answer], keep=True)
    for piece in (b"b", b"c"):
        answer.chunks.append((5, piece))
        batch.plan([], keep=True)
    commit(engine, batch)
    assert contents.bodies(engine, 1).event_stream == b"abc"


def test_tasks_of_unknown_calls_are_ignored(engine: Engine, batch: Batch) -> None:
    """An answer or an end without a request, or a repeated one, stores nothing."""
    call, other = request_read(), request_read()
    assert commit(engine, batch, response_started(other), ended(other)) == []
    commit(engine, batch, call, ended(call))
    assert commit(engine, batch, ended(call, state=State.TIMED_OUT)) == []
    assert exchanges.latest(engine, limit=1)[0].state == State.COMPLETED


def test_a_refused_call_can_be_dropped(engine: Engine, batch: Batch) -> None:
    """A call that the database refuses is dropped, the others get their rows, and its end is not stored either."""
    good, bad = request_read(), request_read(endpoint=None)
    batch.plan([bad, good], keep=False)
    with pytest.raises(IntegrityError), writing(engine) as connection:
        batch.store(connection)
    batch.drop(bad.uuid)
    assert (batch.planned, list(batch.calls)) == (1, [good.uuid])
    commit(engine, batch, ended(bad), ended(good))
    assert [(row.uuid, row.state) for row in exchanges.latest(engine, limit=9)] == [(good.uuid, State.COMPLETED)]


def test_an_answer_that_another_proxy_wrote_is_replaced(engine: Engine, batch: Batch) -> None:
    """If the row was finished by a proxy that considered this one dead, the actual end replaces it."""
    call = request_read()
    commit(engine, batch, call)
    with writing(engine) as connection:
        exchanges.update_exchanges(connection, [{"id": 1, "state": State.PROXY_DIED}])
        carry(connection, 1, response=b"so far", stream=b"so far")
    answer = response_started(call, [STREAM], content_type="text/event-stream")
    batch.plan([ended(call, response=answer)], keep=False)
    with pytest.raises(IntegrityError), writing(engine) as connection:
        batch.store(connection)
    with writing(engine) as connection:
        ids = units.rewrite(connection, list(batch.units.values()))
    batch.stored(ids)
    assert exchanges.latest(engine, limit=9) == [call for call, *_ in batch.finished()]
    kept = contents.bodies(engine, 1)
    assert (kept.request, kept.event_stream) == (call.body, STREAM)
    assert b'"content": "ab"' in (kept.response or b"")


def test_memory_is_given_back(engine: Engine, batch: Batch) -> None:
    """A batch's weight is that of the bodies; nothing is kept of calls that have ended and been stored."""
    for number in range(20):
        call = request_read(body=b"x" * 50_000)
        answer = response_started(call, [b"y" * 20_000], content_type="text/event-stream")
        batch.plan([call, answer], keep=number % 2 == 0)
        if number % 3 == 0:
            commit(engine, batch)
        batch.plan([ended(call)], keep=False)
        assert 0 < len(batch.units) <= 3
        assert sum(batch.weights) >= 20_000
    commit(engine, batch)
    assert len(batch.finished()) == 20
    assert (batch.weights, batch.absorb()) == ([], 0)
    assert (batch.calls, batch.units, batch.finished()) == ({}, {}, [])


def test_an_undecodable_request_is_kept_with_a_warning(engine: Engine, batch: Batch) -> None:
    """A body that does not match its content encoding is kept unchanged; the warning is stored at once, and stays."""
    call = request_read(body=b"not gzip", content_encoding="gzip")
    for tasks in ([call], [ended(call)]):
        commit(engine, batch, *tasks)
        (row,) = exchanges.latest(engine, limit=9)
        assert row.warnings[0].startswith("the request's body could not be decoded: ")
        assert len(row.warnings) == 1
    assert contents.bodies(engine, 1).request == b"not gzip"


@pytest.mark.parametrize("method", ["absorb", "close"])
def test_a_fault_with_one_answer_does_not_touch_the_others(
    engine: Engine, batch: Batch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """If an answer cannot be handled, its row and the other rows still reach their ends."""
    bad, good = request_read(), request_read()
    real = getattr(Answer, method)

    def fail(answer: Answer) -> object:
        if answer.started.uuid == bad.uuid:
            raise ZeroDivisionError
        return real(answer)

    monkeypatch.setattr(Answer, method, fail)
    commit(engine, batch, bad, response_started(bad), good, response_started(good), keep=True)
    commit(engine, batch, ended(bad), ended(good), keep=True)
    assert [row.state for row in exchanges.latest(engine, limit=9)] == [State.COMPLETED] * 2
    assert contents.bodies(engine, 2).response
    assert "because of a fault in MoonPalace" in caplog.text


def test_a_fault_with_one_request_does_not_touch_the_others(
    engine: Engine, batch: Batch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If a request cannot be handled, the others of the batch get their rows, and the log names the missing one."""
    real = derive.request_content
    monkeypatch.setattr(derive, "request_content", lambda body: real(body) if body != b"x" else 1 / 0)
    bad, good = request_read(body=b"x"), request_read()
    commit(engine, batch, bad, good)
    assert [row.uuid for row in exchanges.latest(engine, limit=9)] == [good.uuid]
    assert bad.uuid in caplog.text


def test_batches_of_all_sizes_share_their_statements(engine: Engine, batch: Batch) -> None:
    """Batches of any size are written with the same prepared statements: each new one would take memory forever."""
    seen: set[str] = set()
    event.listen(engine, "before_cursor_execute", lambda _, __, statement, *___: seen.add(statement))
    numbers: list[int] = []
    for size in (63, *range(1, 63)):
        calls = [request_read(body=f"{size} {number}".encode()) for number in range(size)]
        endings = [ended(call, response=response_started(call, [call.body])) for call in calls]
        for tasks in (calls, endings):
            commit(engine, batch, *tasks)
        numbers.append(len(seen))
    assert numbers[-1] <= numbers[0] + 6  # a look for 1, 2, 4, 8, 16 or 32 pieces


@pytest.mark.parametrize(("coerced", "state"), [(False, State.COMPLETED), (True, State.CLIENT_DISCONNECTED)])
def test_a_client_that_leaves_at_done(engine: Engine, batch: Batch, coerced: bool, state: State) -> None:
    """A client of a stream has its answer after the last event; one whose stream was forced has not."""
    call = request_read(coerced=coerced)
    answer = response_started(call, [STREAM, b"data: [DONE]\n\n"], content_type="text/event-stream")
    end = ended(call, response=answer, state=State.CLIENT_DISCONNECTED, error_kind="client_disconnected")
    commit(engine, batch, call, end)
    assert [row.state for row in exchanges.latest(engine, limit=9)] == [state]


def test_a_call_gets_its_cost(engine: Engine, run_id: str) -> None:
    """A batch with prices stores the cost of a call with its end."""
    batch = Batch(run_id, b"k" * 32, Pricing([PriceRule("kimi-*", Rates(2.0, 10.0, 1.0, currency="CNY"))]))
    call = request_read()
    commit(engine, batch, call, ended(call, response=response_started(call)))
    (stored,) = exchanges.latest(engine, limit=2)
    assert (stored.prompt_tokens, stored.cached_tokens, stored.completion_tokens) == (11, 5, 7)
    assert stored.cost == pytest.approx(87e-6)
    assert stored.cost_currency == "CNY"
    assert [call for call, *_ in batch.finished()] == [stored]
