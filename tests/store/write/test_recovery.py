"""Tests of finishing the calls of a dead proxy."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.pricing.pricing import Pricing
from moonpalace_addons.store.records import contents, exchanges, runs
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write import derive
from moonpalace_addons.store.write.host import host_name
from moonpalace_addons.store.write.recovery import HEARTBEAT_TIMEOUT, recover
from moonpalace_addons.wire.prices import PriceRule, Rates
from tests.batches import Batch
from tests.tasks import request_read, response_started

STREAM = b'data: {"id": "c", "choices": [{"index": 0, "delta": {"content": "ab"}}]}\n\ndata: {"id": "c", "cho'
FRESH, STALE = 0, HEARTBEAT_TIMEOUT + 1_000_000

type Leave = Callable[..., str]


def dead_pid() -> int:
    """Return the id of a process that has just ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture
def leave(engine: Engine) -> Leave:
    """Give a function that leaves a run with one call in progress and these chunks; it returns the run's id."""

    def make(
        pid: int, *chunks: bytes, host: str | None = None, silent: int = FRESH, is_over: bool = False, **answer: object
    ) -> str:
        now = time.time_ns() // 1000
        run = {"id": f"run-{pid}-{silent}", "host": host or host_name(), "pid": pid, "version": "0", "started_at": now}
        run |= {"heartbeat_at": now - silent, "ended_at": now if is_over else None}
        batch = Batch(str(run["id"]), b"k" * 32)
        call = request_read(body=b'{"model": "kimi-k3", "stream": true}')
        batch.plan([call], keep=False)
        if chunks or answer:
            batch.plan([response_started(call, chunks, **answer)], keep=True)
        with writing(engine) as connection:
            runs.begin_run(connection, run)
            batch.store(connection)
        return str(run["id"])

    return make


def states(engine: Engine, *living: str) -> tuple[int, list[State]]:
    with writing(engine) as connection:
        count = recover(connection, living)
    return count, [call.state for call in exchanges.latest(engine, limit=9)]


@pytest.mark.parametrize(
    ("pid", "run"),
    [
        ("dead", {}),
        ("own", {}),
        ("living", {"silent": STALE}),
        ("living", {"is_over": True}),
        ("living", {"host": "elsewhere", "silent": STALE}),
        ("living", {"host": "elsewhere", "is_over": True}),
    ],
)
@pytest.mark.usefixtures("old_server")
def test_calls_of_a_dead_proxy_are_finished(engine: Engine, leave: Leave, pid: str, run: dict[str, object]) -> None:
    """A proxy is dead if its run has ended, its process is gone or has this one's id, or it is silent."""
    leave({"dead": dead_pid(), "own": os.getpid(), "living": os.getppid()}[pid], **run)
    assert states(engine) == (1, [State.PROXY_DIED])
    assert states(engine) == (0, [State.PROXY_DIED])


@pytest.mark.parametrize(("pid", "host"), [(os.getppid(), None), (2**22 + 5, "elsewhere")], ids=["here", "elsewhere"])
def test_calls_of_a_living_proxy_are_left(engine: Engine, leave: Leave, pid: int, host: str | None) -> None:
    """A proxy with a process on this machine, or with a recent heartbeat from another, is left alone."""
    leave(pid, host=host)
    assert states(engine) == (0, [State.IN_FLIGHT])


def test_calls_of_this_process_are_left(engine: Engine, leave: Leave) -> None:
    """Another proxy in this process is left alone, whatever its heartbeat."""
    run = leave(os.getpid(), silent=STALE)
    assert states(engine, run) == (0, [State.IN_FLIGHT])


def test_what_was_received_is_kept_and_merged(engine: Engine, leave: Leave) -> None:
    """A truncated stream is kept to its last byte, merged, with its times; the segments are deleted."""
    leave(dead_pid(), STREAM[:30], STREAM[30:], content_type="text/event-stream")
    states(engine)
    (call,) = exchanges.latest(engine, limit=9)
    kept = contents.bodies(engine, call.id)
    assert kept.event_stream == STREAM
    assert json.loads(kept.response or b"")["choices"][0]["message"]["content"] == "ab"
    assert contents.event_times(engine, call.id) == [(30, 2_000_000), (len(STREAM), 3_000_000)]
    assert (call.latency, call.time_to_first_token, call.chatcmpl_id) == (3_000_000, 3_000_000, "c")
    assert (call.status_code, call.msh_request_id, call.error_kind) == (200, "req-1", "proxy_died")
    assert call.response_bytes == len(STREAM)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM response_segments")).scalar_one() == 0


@pytest.mark.parametrize("answer", [{}, {"status_code": 502}])
def test_a_call_without_a_byte_of_an_answer_is_finished(
    engine: Engine, leave: Leave, answer: dict[str, object]
) -> None:
    """A call without an answer, or with headers only, is finished with the available data."""
    leave(dead_pid(), **answer)
    states(engine)
    (call,) = exchanges.latest(engine, limit=9)
    assert (call.state, call.status_code) == (State.PROXY_DIED, answer.get("status_code"))
    assert call.latency == (1_000_000 if answer else 0)
    assert call.is_stream is not bool(answer)


def test_warnings_of_the_beginning_are_kept(engine: Engine, leave: Leave) -> None:
    """Warnings about the request are kept."""
    leave(dead_pid())
    with writing(engine) as connection:
        exchanges.update_exchanges(connection, [{"id": 1, "warnings": '["early"]'}])
    states(engine)
    assert exchanges.latest(engine, limit=1)[0].warnings == ("early",)


def test_a_call_that_cannot_be_read_does_not_keep_the_store_from_opening(
    engine: Engine, leave: Leave, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception with one call is logged; it is finished without its data, the others with theirs."""
    for pid, body in ((dead_pid(), b"bad"), (dead_pid(), b"good")):
        leave(pid, body, silent=len(body))
    real = derive.header_columns
    monkeypatch.setattr(derive, "header_columns", lambda given: real(given) if given.body == b"good" else 1 / 0)
    assert states(engine) == (2, [State.PROXY_DIED] * 2)
    assert [contents.bodies(engine, number).response for number in (1, 2)] == [None, b"good"]
    assert "the stored parts of call 1 could not be read" in caplog.text


def test_a_call_of_a_dead_proxy_gets_its_cost(engine: Engine, leave: Leave) -> None:
    """The cost of such a call is calculated from the received usage."""
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 1000000, "completion_tokens": 0}}\n\n'
    leave(dead_pid(), b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n', usage)
    pricing = Pricing([PriceRule("kimi-k3", Rates(3.0, 15.0))])
    with writing(engine) as connection:
        assert recover(connection, (), None, pricing) == 1
    assert [(call.cost, call.cost_currency) for call in exchanges.latest(engine, limit=2)] == [(3.0, "USD")]
