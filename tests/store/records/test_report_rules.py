"""Tests of a rule's progress: it sees every call once, after its end."""

import time

import pytest
from sqlalchemy import Engine, text, true

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import report_rules
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.state import State
from tests.store.added import MOMENT, Add

FIRST = int(MOMENT.timestamp() * 1e6)


def begun(engine: Engine, since: int = 0) -> None:
    """Record a rule."""
    with writing(engine) as connection:
        report_rules.begin(connection, "r", since)


def step_matches(engine: Engine) -> list[int]:
    """Make a step, and return the matching calls."""
    with writing(engine) as connection:
        before = report_rules.progress(connection, "r")
        assert before is not None
        step = report_rules.step(connection, before, true())
        if step is None:
            return []
        assert report_rules.advance(connection, "r", step)
        return list(step.found)


def finish(engine: Engine, call: int) -> None:
    """End a call."""
    with writing(engine) as connection:
        connection.execute(text(f"UPDATE exchanges SET state = 'completed' WHERE id = {call}"))


def test_each_call_is_seen_once(engine: Engine, add: Add) -> None:
    """Ended calls are seen at the next step, and never again."""
    begun(engine)
    first, second = add(), add()
    assert step_matches(engine) == [first, second]
    assert step_matches(engine) == []
    third = add()
    assert step_matches(engine) == [third]


def test_a_call_is_seen_when_it_is_over(engine: Engine, add: Add) -> None:
    """A call that later ones have overtaken is seen after its end."""
    begun(engine)
    long, short = add(state=State.IN_FLIGHT), add()
    assert step_matches(engine) == [short]
    assert step_matches(engine) == []
    later = add()
    finish(engine, long)
    assert step_matches(engine) == [long, later]
    assert step_matches(engine) == []


def test_a_new_rule(engine: Engine, add: Add) -> None:
    """It sees calls that began after it was created, and those in flight at that time."""
    add()
    going = add(state=State.IN_FLIGHT)
    begun(engine, FIRST + 1_500_000)
    begun(engine, 0)  # another proxy
    new = add()
    finish(engine, going)
    assert step_matches(engine) == [going, new]


def test_a_row_that_appears_late(engine: Engine, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id without a row is checked again for a while: other transactions end later."""
    begun(engine)
    add(id=7)
    assert step_matches(engine) == [7]
    add(id=5)
    assert step_matches(engine) == [5]
    monkeypatch.setattr(report_rules, "MISSING_TIMEOUT", 0.0)
    assert step_matches(engine) == []
    add(id=4)
    assert step_matches(engine) == []
    with engine.connect() as connection:
        progress = report_rules.progress(connection, "r")
    assert progress is not None
    assert not progress.unfinished


def test_only_what_fits(engine: Engine, add: Add) -> None:
    """A call that does not match is skipped."""
    begun(engine)
    add(status_code=200)
    wanted = add(status_code=500)
    with engine.connect() as connection:
        before = report_rules.progress(connection, "r")
        assert before is not None
        step = report_rules.step(connection, before, EXCHANGES.c.status_code >= 500)
    assert step is not None
    assert step.found == (wanted,)
    assert step.after.looked_to == wanted


def test_of_two_one_goes_on(engine: Engine, add: Add) -> None:
    """If two processes have found the same calls, one records them."""
    begun(engine)
    add()
    with engine.connect() as connection:
        before = report_rules.progress(connection, "r")
        assert before is not None
        step = report_rules.step(connection, before, true())
    assert step is not None
    with writing(engine) as connection:
        assert report_rules.advance(connection, "r", step)
        assert not report_rules.advance(connection, "r", step)


def test_much_is_looked_at_in_parts(engine: Engine, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even after a long time a step is short."""
    monkeypatch.setattr(report_rules, "MAX_SPAN", 2)
    begun(engine)
    calls = [add() for _ in range(3)]
    assert step_matches(engine) == calls[:2]
    assert step_matches(engine) == calls[2:]


def test_a_clock_that_was_set_back(engine: Engine, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id without a row is not checked for longer than with a correct clock."""
    begun(engine)
    with monkeypatch.context() as patched:
        patched.setattr("time.time", lambda: 4e9)
        add(id=7)
        assert step_matches(engine) == [7]
    step_matches(engine)
    with engine.connect() as connection:
        progress = report_rules.progress(connection, "r")
    assert progress is not None
    assert len(progress.unfinished) == 6
    assert max(progress.unfinished.values()) <= time.time()
