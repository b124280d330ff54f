"""Tests of changing many rows in short transactions, with and without a proxy that uses the store."""

import os
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import runs
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.upkeep import steps
from moonpalace_addons.store.upkeep.steps import EXCLUSIVE_STEP, MIN_ROWS, PAUSE_SHARE, SHARED_STEP, Pace
from moonpalace_addons.store.write.host import new_run
from moonpalace_addons.store.write.recovery import is_in_use

OLD = {"started_at": 0, "heartbeat_at": 0}
ELSEWHERE = {"host": "another machine", "pid": 1}

type Run = Callable[..., str]


@pytest.fixture
def run(engine: Engine) -> Run:
    """Return a function that records a run of this process, with some columns changed, and returns its id."""

    def begin(changes: Values) -> str:
        columns = new_run() | {"id": str(uuid4())} | changes
        with writing(engine) as connection:
            runs.begin_run(connection, columns)
        return str(columns["id"])

    return begin


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, True),
        ({"pid": os.getppid()}, True),
        ({"pid": 2**22 + 1}, False),  # more than Linux gives: no process has it
        (ELSEWHERE, True),
        (ELSEWHERE | OLD, False),
        (OLD, False),
    ],
    ids=["this process", "another", "a dead one", "on another machine", "silent there", "silent here"],
)
def test_which_proxies_use_a_store(engine: Engine, run: Run, columns: Values, expected: bool) -> None:
    """One with a recent heartbeat does, unless its process is dead or it has ended."""
    begun = run(columns)
    with writing(engine) as connection:
        assert is_in_use(connection) is expected
        runs.touch_run(connection, begun, ended=True)
        assert not is_in_use(connection)


def test_a_step_takes_the_time_that_it_may() -> None:
    """The duration of one step determines the size of the next, within limits; a new proxy is noticed immediately."""
    pace = Pace(10, 100, 10_000)
    assert pace.amount(shared=False) == pace.amount(shared=True) == 100
    assert pace.note(1000, SHARED_STEP * 2, shared=True) == pytest.approx(PAUSE_SHARE * SHARED_STEP * 2)
    assert pace.amount(shared=True) == 500
    assert pace.amount(shared=False) == 4000
    assert pace.note(4000, EXCLUSIVE_STEP, shared=False) == 0
    assert pace.amount(shared=False) == 4000
    assert pace.amount(shared=True) == pytest.approx(4000 * SHARED_STEP / EXCLUSIVE_STEP, abs=1)
    pace.note(12, 9.0, shared=True)
    assert pace.amount(shared=True) == 10
    pace.note(9000, 0.0, shared=True)
    assert pace.amount(shared=True) == 10_000


class Work:
    """Work that takes this many seconds for each step and row, by the clock of `steps`, and records them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, per_step: float, per_row: float) -> None:
        self.sizes, self.pauses, self.stop = list[int](), list[float](), threading.Event()
        self._per_step, self._per_row, self._now = per_step, per_row, 0.0
        monkeypatch.setattr(steps, "time", SimpleNamespace(monotonic=lambda: self._now))
        monkeypatch.setattr(self.stop, "wait", self.pauses.append)

    def __call__(self, _: Connection, some: Sequence[int]) -> int:
        """Do a step."""
        self.sizes.append(len(some))
        self._now += self._per_step + self._per_row * len(some)
        return len(some)


def test_a_slow_machine_gets_no_smaller_steps(engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """If each step is slow however small, 10,000 rows take 200 steps, not 10,000."""
    run({})
    work = Work(monkeypatch, per_step=0.6, per_row=0.0)
    assert steps.in_steps(engine, range(10_000), work, work.stop) == 10_000
    assert set(work.sizes[1:]) == {MIN_ROWS}
    assert sum(work.pauses) == pytest.approx(PAUSE_SHARE * 0.6 * len(work.sizes))


def test_no_pauses_without_a_proxy(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a proxy, steps are long and have no pauses; they become short once one has started."""
    work = Work(monkeypatch, per_step=0.0, per_row=0.001)
    proxy = new_run()

    def with_proxy(connection: Connection, some: Sequence[int]) -> int:
        if len(work.sizes) == 5:
            runs.begin_run(connection, proxy)
        return work(connection, some)

    assert steps.in_steps(engine, range(3000), with_proxy, work.stop) == 3000
    assert work.sizes[:6] == [100, 400, 500, 500, 500, 500]
    assert set(work.sizes[6:]) == {50}
    assert work.pauses[:6] == [0.0] * 6
    assert work.pauses[6:] == [pytest.approx(PAUSE_SHARE * SHARED_STEP)] * len(work.sizes[6:])
