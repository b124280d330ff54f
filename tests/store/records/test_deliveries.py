"""Tests of sending reports once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import deliveries
from moonpalace_addons.store.records.deliveries import Delivery, DeliveryState
from tests.store.added import Add

RULE = {"destination": "chat", "first_at": 1, "last_at": 1, "calls": 1}


def wanted(engine: Engine, call: int, *, again: bool = False) -> Delivery:
    """Return the report of a call to one destination."""
    return deliveries.wanted(engine, call, 5, "chat", again=again)


def test_a_report_is_recorded_once(engine: Engine, add: Add) -> None:
    """The report of a call to a destination is recorded once; another only on request."""
    call = add()
    first = wanted(engine, call)
    assert (first.state, first.exchange_id, first.calls, first.attempts) == (DeliveryState.PENDING, call, 1, 0)
    assert wanted(engine, call) == first
    assert wanted(engine, call, again=True) == first  # it was not sent yet
    claimed = deliveries.claim(engine, first)
    assert claimed is not None
    deliveries.set_state(engine, claimed, DeliveryState.SENT, address="there")
    assert wanted(engine, call).address == "there"
    second = wanted(engine, call, again=True)
    assert second.id != first.id
    assert second.marker != first.marker
    assert deliveries.wanted(engine, call, 5, "other", again=False).id not in (first.id, second.id)


def test_one_of_many_claims_it(engine: Engine, add: Add) -> None:
    """Of several senders only one can claim a report."""
    delivery = wanted(engine, add())
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: deliveries.claim(engine, delivery), range(8)))
    (claimed,) = filter(None, claims)
    assert (claimed.state, claimed.attempts) == (DeliveryState.SENDING, 1)
    assert claimed.tried_at is not None


def test_a_report_that_has_changed_is_not_claimed(engine: Engine, add: Add) -> None:
    """The report must state how many calls it covers."""
    call = add()
    with writing(engine) as connection:
        deliveries.join(connection, "r", "x", {**RULE, "exchange_id": call}, delay=0)
        (read,) = deliveries.due(connection, "r")
        deliveries.join(connection, "r", "x", {**RULE, "exchange_id": read.exchange_id}, delay=0)
    assert deliveries.claim(engine, read) is None
    with engine.connect() as connection:
        (now,) = deliveries.due(connection, "r")
    assert now.calls == 2
    assert deliveries.claim(engine, now) is not None


@pytest.mark.parametrize("state", [DeliveryState.SENT, DeliveryState.IN_DOUBT, DeliveryState.SENDING])
def test_what_may_have_been_sent_is_not_sent(engine: Engine, add: Add, state: DeliveryState) -> None:
    """A report that was or may have been sent cannot be claimed; a refused one can."""
    claimed = deliveries.claim(engine, wanted(engine, add()))
    assert claimed is not None
    if state is not DeliveryState.SENDING:
        assert deliveries.set_state(engine, claimed, state)
    with engine.connect() as connection:
        now = deliveries.numbered(connection, claimed.id)
    assert now is not None
    assert deliveries.claim(engine, now) is None
    deliveries.set_state(engine, now, DeliveryState.REFUSED, reason="no")
    assert deliveries.claim(engine, wanted(engine, now.exchange_id or 0)) is not None


def test_what_another_process_has_changed(engine: Engine, add: Add) -> None:
    """The state of a report is set as it was read: later changes are not overwritten."""
    claimed = deliveries.claim(engine, wanted(engine, add()))
    assert claimed is not None
    assert deliveries.set_state(engine, claimed, DeliveryState.SENT, address="a")
    assert not deliveries.set_state(engine, claimed, DeliveryState.IN_DOUBT)


def test_similar_calls_share_a_report(engine: Engine, add: Add) -> None:
    """Similar calls join the waiting report, which shows the newest; a tried report accepts no more."""
    calls = [add() for _ in range(4)]
    with writing(engine) as connection:
        for call in calls[:2]:
            deliveries.join(connection, "r", "x", {**RULE, "exchange_id": call, "last_at": call}, delay=0)
        deliveries.join(connection, "r", "y", {**RULE, "exchange_id": calls[2]}, delay=60)
        assert deliveries.gathered(connection, "r") == {"x", "y"}
    with engine.connect() as connection:
        (due,) = deliveries.due(connection, "r")
    assert (due.calls, due.exchange_id, due.last_at) == (2, calls[1], calls[1])
    assert deliveries.claim(engine, due) is not None
    with writing(engine) as connection:
        deliveries.join(connection, "r", "x", {**RULE, "exchange_id": calls[3]}, delay=0)
        assert [each.calls for each in deliveries.read(connection)] == [2, 1, 1]
        assert deliveries.tried_today(connection, "r") == 1


def test_reports_are_merged(engine: Engine, add: Add) -> None:
    """One report replaces the others, with their calls, kinds and times."""
    with writing(engine) as connection:
        for number, kind in enumerate("xyz", 1):
            values = {**RULE, "calls": number, "first_at": 9 - number, "last_at": number}
            deliveries.join(connection, "r", kind, values, delay=0)
        deliveries.merge(connection, deliveries.due(connection, "r"))
        (one,) = deliveries.due(connection, "r")
    assert (one.calls, one.kinds, one.first_at, one.last_at, one.likeness) == (6, 3, 6, 3, "x")


@pytest.mark.parametrize(
    ("merged", "kinds", "likeness"),
    [
        ([("x", 1), ("others", 1)], 1, "others"),
        ([("x", 1), ("y", 1), ("others", 7)], 7, "others"),
        ([("x", 16), ("y", 1)], 16, "others"),
    ],
)
def test_kinds_are_counted_once(
    engine: Engine, add: Add, merged: list[tuple[str, int]], kinds: int, likeness: str
) -> None:
    """If reports may share kinds, the merged one has at least the greater number."""
    add()
    with writing(engine) as connection:
        for each, number in merged:
            deliveries.join(connection, "r", each, {**RULE, "kinds": number}, delay=0)
        deliveries.merge(connection, deliveries.due(connection, "r"))
        (one,) = deliveries.due(connection, "r")
    assert (one.kinds, one.likeness) == (kinds, likeness)


def test_a_deleted_call(engine: Engine, add: Add, rows: Callable[[str], int]) -> None:
    """A report outlives its call: today's limit has to count it."""
    call = add()
    wanted(engine, call)
    with writing(engine) as connection:
        connection.execute(text(f"DELETE FROM exchanges WHERE id = {call}"))
    assert rows("deliveries") == 1
    with engine.connect() as connection:
        assert deliveries.read(connection)[0].exchange_id is None


def test_what_a_dead_process_left(engine: Engine, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claimed report counts as abandoned after a while, and a doubtful one when it is due."""
    call = add()
    with writing(engine) as connection:
        deliveries.join(connection, "r", "x", {**RULE, "exchange_id": call}, delay=0)
        (due,) = deliveries.due(connection, "r")
    claimed = deliveries.claim(engine, due)
    assert claimed is not None
    with engine.connect() as connection:
        assert deliveries.left(connection, "r") == []
        assert not deliveries.is_abandoned(connection, claimed)
        monkeypatch.setattr(deliveries, "CLAIM_TIMEOUT", -1)
        assert deliveries.left(connection, "r") == [claimed]
        assert deliveries.is_abandoned(connection, claimed)
        assert deliveries.left(connection, "other") == []
    deliveries.set_state(engine, claimed, DeliveryState.IN_DOUBT, delay=60)
    with engine.connect() as connection:
        assert deliveries.left(connection, "r") == []


KEPT = {"sent": 0, "refused": 0, "in_doubt": 0, "pending": 1, "sending": 1}
"""The states of reports, and how many of them a clean-up keeps for a deleted call."""


@pytest.mark.parametrize(("state", "count"), KEPT.items())
def test_reports_of_deleted_calls_are_forgotten(
    engine: Engine, add: Add, rows: Callable[[str], int], state: str, count: int
) -> None:
    """A finished report is deleted some days after its last change if its call was deleted; others are kept."""
    gone, stays = add(), add()
    for call in (gone, stays):
        wanted(engine, call)
    with writing(engine) as connection:
        connection.execute(text(f"UPDATE deliveries SET state = '{state}'"))
        connection.execute(text(f"DELETE FROM exchanges WHERE id = {gone}"))
        assert deliveries.outlived(connection) == []  # a limit of today counts it
        connection.execute(text(f"UPDATE deliveries SET changed_at = changed_at - {deliveries.KEPT_TIME + 1}"))
        some = [1, 2, 3]
        assert deliveries.forget(connection, some) == 1 - count
        assert deliveries.outlived(connection) == []
    assert rows("deliveries") == 1 + count
    assert wanted(engine, stays).exchange_id == stays


@pytest.mark.parametrize("years", [-1, 1])
def test_a_wrong_clock(engine: Engine, add: Add, years: int) -> None:
    """Times recorded while the clock was years off neither delay reports for years nor count for today's limit."""
    calls = [add() for _ in range(3)]
    with writing(engine) as connection:
        for call, kind in zip(calls, "xyz", strict=True):
            deliveries.join(connection, "r", kind, {**RULE, "exchange_id": call}, delay=60)
    with engine.connect() as connection:
        waiting, going, doubted = deliveries.read(connection)
        assert not deliveries.any_open(connection)
    claimed = deliveries.claim(engine, going)
    assert claimed is not None
    deliveries.set_state(engine, doubted, DeliveryState.IN_DOUBT, delay=60)
    with writing(engine) as connection:
        assert deliveries.tried_today(connection, "r") == 1
        names = ("due_at", "changed_at", "tried_at", "created_at")
        sets = ", ".join(f"{name} = {name} + {years * 365 * deliveries.DAY}" for name in names)
        connection.execute(text(f"UPDATE deliveries SET {sets}"))
        assert [each.id for each in deliveries.due(connection, "r")] == [waiting.id]
        assert [each.id for each in deliveries.left(connection, "r")] == [going.id, doubted.id]
        assert deliveries.tried_today(connection, "r") == 0
        assert deliveries.is_abandoned(connection, deliveries.read(connection)[1])
