"""Tests of deciding whether calls or the store are to blame for a failure."""

import sqlite3
from collections.abc import Sequence

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from moonpalace_addons.store.write import attempts as attempts_module
from moonpalace_addons.store.write.attempts import MAX_FAILURES, Attempts, StoreResult
from moonpalace_addons.store.write.host import new_run
from moonpalace_addons.store.write.units import Unit

UNITS = [Unit(uuid, {}) for uuid in ("first", "second", "third")]


class Failing:
    """A store that refuses some calls with an ambiguous error."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch, *refused: str) -> None:
        self.refused = set(refused)
        self.attempts = Attempts(engine, lambda: None)
        for name in ("write", "rewrite"):
            monkeypatch.setattr(attempts_module, name, self._write)

    def _write(self, _: Connection, units: Sequence[Unit]) -> dict[str, int]:
        if self.refused & {unit.uuid for unit in units}:
            cause = sqlite3.OperationalError("no such table")
            cause.sqlite_errorcode = sqlite3.SQLITE_ERROR
            raise OperationalError("INSERT", {}, cause)
        return {unit.uuid: number for number, unit in enumerate(units, start=1)}

    def store(self, *units: Unit) -> StoreResult:
        """Try to store units."""
        return self.attempts.store(units, new_run(), lambda _: None, again=False)


def test_a_store_that_works_again_amid_a_batch(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that failed just before another was stored are retried, and stored."""
    store = Failing(engine, monkeypatch, "first", "second")
    taken = store.store(*UNITS)
    assert (set(taken.ids), taken.refused) == ({"third"}, {})
    store.refused.clear()
    assert set(store.store(*UNITS[:2]).ids) == {"first", "second"}
    assert store.attempts.outage.words is None


def test_a_call_that_is_refused_for_ever(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that fails repeatedly, after others were stored, is given up, and the store is not blamed."""
    store = Failing(engine, monkeypatch, "second")
    assert set(store.store(*UNITS).ids) == {"first", "third"}
    for _ in range(MAX_FAILURES - 2):
        assert store.store(UNITS[1]) == StoreResult()
    assert set(store.store(UNITS[1]).refused) == {"second"}
    assert store.attempts.outage.words is None


def test_a_store_that_takes_no_call(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no call can be stored the store is in trouble, however often that happens, and no call is given up."""
    store = Failing(engine, monkeypatch, "first", "second", "third")
    for _ in range(MAX_FAILURES + 1):
        assert store.store(*UNITS) == StoreResult()
    assert store.attempts.outage.words == "no such table"
