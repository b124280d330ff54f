"""Tests of the orders in which calls are listed, and of conditions."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, insert, text

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.fields import FIELDS
from moonpalace_addons.store.read import statistics
from moonpalace_addons.store.records import exchanges, ordering
from moonpalace_addons.store.schema import EXCHANGES, TAGS
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write.derive import EMPTY
from tests.store.added import Add

STARTED = datetime(2026, 11, 22, 17, 27, 2, 123456, tzinfo=UTC)
MICROSECONDS = (STARTED - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.fixture
def add(engine: Engine, run_id: str) -> Add:
    """Give a function that stores a call and returns its id."""

    def store(**changes: object) -> int:
        row = EMPTY | {"uuid": str(uuid4()), "run_id": run_id, "state": State.COMPLETED.value, "method": "POST"}
        row |= {"started_at": MICROSECONDS, "endpoint": "e", "query": "", "path": "/v1/chat/completions"}
        row |= {"request_headers": "", "request_bytes": 0, "is_stream": False, "is_coerced": False}
        with writing(engine) as connection:
            (row_id,) = exchanges.insert_exchanges(connection, [row | changes]).values()
        return row_id

    return store


def in_order(engine: Engine, name: str, *, descending: bool) -> list[int]:
    """Return the ids of all calls in an order."""
    order = ordering.order_by(FIELDS[name], descending=descending)
    return [call.id for call in exchanges.latest(engine, limit=None, order=order)]


@pytest.mark.parametrize(
    ("name", "rows", "upwards", "downwards"),
    [
        ("latency", [{"latency": 3}, {}, {"latency": 1}, {"latency": 3}], [3, 4, 1, 2], [4, 1, 3, 2]),
        ("id", [{}, {}, {}], [1, 2, 3], [3, 2, 1]),
        ("started_at", [{"started_at": 2}, {"started_at": 1}, {"started_at": 2}], [2, 1, 3], [3, 1, 2]),
        (
            "model",
            [{"model_requested": "b"}, {"model_answered": "a", "model_requested": "c"}, {}],
            [2, 1, 3],
            [1, 2, 3],
        ),
        ("url", [{"path": "/b"}, {"endpoint": "d", "path": "/c"}, {"query": "x", "path": "/b"}], [2, 1, 3], [3, 1, 2]),
    ],
)
def test_orders(
    engine: Engine, add: Add, name: str, rows: list[dict[str, object]], upwards: list[int], downwards: list[int]
) -> None:
    """Unknown values are last in both directions; equal ones are newest first unless there is an index."""
    first = add(**rows[0])
    for row in rows[1:]:
        add(**row)
    assert [row_id - first + 1 for row_id in in_order(engine, name, descending=False)] == upwards
    assert [row_id - first + 1 for row_id in in_order(engine, name, descending=True)] == downwards


def test_order_by_tags(engine: Engine, add: Add) -> None:
    """Tags order calls by the first of them."""
    one, two, three = add(), add(), add()
    with writing(engine) as connection:
        rows = [(one, "m"), (two, "z"), (two, "b")]
        connection.execute(insert(TAGS), [{"exchange_id": row_id, "tag": tag} for row_id, tag in rows])
    assert in_order(engine, "tags", descending=False) == [two, one, three]
    assert in_order(engine, "tags", descending=True) == [one, two, three]


def test_every_order_works(engine: Engine, add: Add) -> None:
    """Every sortable field works in both directions."""
    row_id = add()
    for name in (name for name, field in FIELDS.items() if field.is_sortable):
        assert in_order(engine, name, descending=False) == in_order(engine, name, descending=True) == [row_id], name


@pytest.mark.parametrize("name", ordering.INDEXED)
@pytest.mark.parametrize("descending", [True, False])
def test_indexed_orders_read_no_more_than_they_give(engine: Engine, file: object, name: str, descending: bool) -> None:
    """Rows in an indexed order are found without sorting."""
    order = ", ".join(str(part) for part in ordering.order_by(FIELDS[name], descending=descending))
    with engine.connect() as connection:
        plan = connection.execute(text(f"EXPLAIN QUERY PLAN SELECT * FROM exchanges ORDER BY {order} LIMIT 3")).all()
    assert not any("TEMP B-TREE" in row[3] for row in plan)
    assert ordering.is_indexed(FIELDS[name])
    assert not ordering.is_indexed(FIELDS["latency"])


INDEXED = (
    "status_code = 200",
    "state = 'completed'",
    "model_requested = 'a'",
    "stream_requested = 1",
    "finish_reason = ''",
)


@pytest.mark.parametrize("condition", INDEXED)
def test_the_newest_of_many_calls_are_found_at_once(engine: Engine, file: object, condition: str) -> None:
    """Matching calls are found in the order of their times: they may be most calls of a store."""
    order = ", ".join(map(str, ordering.NEWEST_FIRST))
    query = f"SELECT * FROM exchanges WHERE {condition} ORDER BY {order} LIMIT 3"
    with engine.connect() as connection:
        plan = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
    assert len(plan) == 1
    assert plan[0].startswith("SEARCH exchanges USING INDEX exchanges_")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"limit": 2}, [5, 4]),
        ({"chat_only": True}, [4, 2]),
        ({"where": EXCHANGES.c.latency > 20}, [5, 4, 3]),
        ({"where": EXCHANGES.c.latency > 20, "chat_only": True}, [4]),
    ],
)
def test_which_calls(engine: Engine, add: Add, given: dict[str, object], expected: list[int]) -> None:
    """`latest`, `count` and `measured` return the calls that meet all conditions."""
    first = 0
    for number in range(1, 6):
        path = "/v1/chat/completions" if number % 2 == 0 else "/v1/models"
        row_id = add(started_at=MICROSECONDS + number - 3, path=path, latency=10 * number)
        first = first or row_id
    result = exchanges.latest(engine, **({"limit": None} | given))  # type: ignore[arg-type]
    assert [call.id - first + 1 for call in result] == expected
    if "limit" not in given:
        assert exchanges.count(engine, **given) == len(expected)  # type: ignore[arg-type]
        measured = [call for batch in statistics.measured(engine, ["latency"], **given) for call in batch]  # type: ignore[arg-type]
        assert sorted(call[-1] or 0 for call in measured) == sorted(10 * number for number in expected)
