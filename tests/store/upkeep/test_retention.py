"""Tests of selecting expired calls."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, insert

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import contents, exchanges
from moonpalace_addons.store.records.contents import Bodies
from moonpalace_addons.store.schema import TAGS
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.upkeep import retention
from moonpalace_addons.store.upkeep.retention import Expired, Rule
from moonpalace_addons.store.write.body_parts import MAX_PIECE_SIZE
from tests.store.added import Add, Count

MOMENT = datetime(2026, 11, 22, 17, 27, 2, tzinfo=UTC)


def second(number: int) -> datetime:
    return MOMENT + timedelta(seconds=number)


@pytest.fixture
def calls(engine: Engine, add: Add) -> list[int]:
    """Store a plain call, one in flight, three labelled in each way, and two plain ones, one second apart."""
    labels: list[dict[str, object]] = [
        {},
        {"state": State.IN_FLIGHT},
        {"category": "badcase"},
        {"note": ""},
        {},
        {},
        {},
    ]
    ids = [add(**each) for each in labels]
    with writing(engine) as connection:
        connection.execute(insert(TAGS), [{"exchange_id": ids[4], "tag": tag} for tag in ("a", "b")])
    return ids


@pytest.mark.parametrize(
    ("rule", "going", "labelled"),
    [
        (Rule(), [], 0),
        (Rule(before=second(0)), [], 0),
        (Rule(before=second(1)), [0], 0),
        (Rule(before=second(4)), [0], 2),
        (Rule(before=second(99)), [0, 5, 6], 3),
        (Rule(before=second(99), include_labelled=True), [0, 2, 3, 4, 5, 6], 0),
        (Rule(keep_last=0), [0, 5, 6], 3),
        (Rule(keep_last=1), [0, 5], 3),
        (Rule(keep_last=3), [0], 2),
        (Rule(keep_last=6), [0], 0),
        (Rule(keep_last=7), [], 0),
        (Rule(keep_last=10**30), [], 0),
        (Rule(keep_last=2, include_labelled=True), [0, 2, 3, 4], 0),
        (Rule(before=second(1), keep_last=1), [0, 5], 3),
    ],
)
def test_what_goes_by_a_rule(engine: Engine, calls: list[int], rule: Rule, going: list[int], labelled: int) -> None:
    """Each condition selects calls independently; labelled ones only on request, those in flight never."""
    assert retention.expired(engine, rule) == Expired([calls[number] for number in going], labelled)
    assert retention.any_expired(engine, rule) == bool(going)


def test_calls_of_one_moment_have_an_order(engine: Engine, add: Add) -> None:
    """Of calls that began in the same microsecond, the ones stored last are the newest."""
    ids = [add(started_at=5) for _ in range(4)]
    assert retention.expired(engine, Rule(keep_last=2)).calls == ids[:2]


def test_room_is_counted_with_the_last_call_that_has_a_piece(engine: Engine, add: Add) -> None:
    """A piece shared with a newer call frees no space until that is deleted; labelled calls are skipped."""
    large = bytes(range(1, 101)) * MAX_PIECE_SIZE
    ids = [add(request=large, response=None), add(request=large, note="n"), add(request=large), add(request=b"small")]
    few = retention.oldest(engine, 100, include_labelled=False)
    assert few == Expired(ids[:1], 1)
    assert retention.oldest(engine, 5000, include_labelled=False) == Expired([ids[0], ids[2], ids[3]], 1)
    assert retention.oldest(engine, 5000, include_labelled=True) == Expired(ids[:3], 0)
    assert retention.oldest(engine, 10**12, include_labelled=True) == Expired(ids, 0)
    assert retention.oldest(engine, 0, include_labelled=True) == Expired([], 0)


def test_calls_are_deleted_with_what_they_carried(engine: Engine, add: Add, rows: Count) -> None:
    """Calls are deleted with all their data; those in flight or labelled meanwhile are kept; others are unchanged."""
    old, busy, kept, new = add(), add(state=State.IN_FLIGHT), add(category="goodcase"), add()
    with writing(engine, alone=True) as connection:
        assert retention.delete_calls(connection, [old, busy, kept, 999], include_labelled=False) == 1
    assert [call.id for call in exchanges.latest(engine, limit=9)] == [new, kept, busy]
    assert contents.bodies(engine, old) == Bodies(None, None, None)
    assert [rows(table) for table in ("event_streams", "response_segments")] == [3, 3]
    with writing(engine, alone=True) as connection:
        assert retention.delete_calls(connection, [kept], include_labelled=True) == 1


def test_the_id_of_a_deleted_call_is_not_used_again(engine: Engine, add: Add) -> None:
    """After all calls are deleted, numbering continues."""
    ids = [add(), add()]
    with writing(engine, alone=True) as connection:
        assert retention.delete_calls(connection, ids, include_labelled=False) == 2
    assert add() == ids[-1] + 1
