"""Tests of querying and changing calls."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, delete

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import exchanges, values
from moonpalace_addons.store.records.values import MAX_INT64
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.tasks import State
from tests.store.added import Add


def test_the_latest_calls_come_first(engine: Engine, add: Add) -> None:
    """`latest` returns at most as many calls as requested, newest first; chat_only excludes other paths."""
    paths = ["/v1/chat/completions", "/v1/models", "/other/v1/chat/completions", "/v1/chat/completions/x"]
    ids = [add(path=path, uuid=path) for path in paths]
    assert [call.id for call in exchanges.latest(engine, limit=3)] == ids[:0:-1]
    assert [call.id for call in exchanges.latest(engine, limit=9, chat_only=True)] == [ids[2], ids[0]]
    assert len(exchanges.latest(engine, limit=10**30)) == 4
    assert exchanges.latest(engine, limit=0) == []


def test_a_call_comes_back_as_it_was_stored(engine: Engine, add: Add) -> None:
    """Times are exact to the microsecond and in UTC; warnings and changes are tuples of texts."""
    add(started_at=1_795_368_422_123_457, warnings='["一", "b\\ud83d"]', changes='["c"]', output_tokens_per_second=1.5)
    (call,) = exchanges.latest(engine, limit=1)
    assert call.started_at == datetime(2026, 11, 22, 17, 27, 2, 123457, UTC)
    assert (call.warnings, call.changes) == (("一", "b\ud83d"), ("c",))
    assert (call.state, call.output_tokens_per_second) == (State.COMPLETED, 1.5)
    assert isinstance(call.state, State)


ODD: dict[str, list[object]] = {
    "warnings": ["nonsense", "{}", "[1]", "[" * 200_000, 7, b"\xff"],
    "changes": ["7"],
    "state": ["wondering", b"x"],
    "started_at": ["yesterday", 2**62],
    "latency": ["long"],
    "output_tokens_per_second": ["quick"],
    "path": [b"\xff"],
    "request_bytes": ["many"],
}


@pytest.mark.parametrize(("column", "value"), [(column, value) for column, each in ODD.items() for value in each])
@pytest.mark.usefixtures("file")  # PostgreSQL keeps the types, and texts are all that can be wrong
def test_a_row_that_another_program_has_changed(engine: Engine, add: Add, column: str, value: object) -> None:
    """Foreign values are left out with a warning, and do not prevent other rows from being shown."""
    ids = [add(uuid=str(number), warnings='["w"]') for number in range(3)]
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE exchanges SET {column} = ? WHERE id = ?", (value, ids[1]))
    # Where a time that is none stands in the order of times is of no matter.
    found = {call.id: call for call in exchanges.latest(engine, limit=None)}
    assert found.keys() == set(ids)
    assert [found[row].warnings for row in (ids[0], ids[2])] == [("w",), ("w",)]
    assert found[ids[1]].warnings[-1] == f"the row has values that MoonPalace does not write: {column}"
    assert [call.id for call in exchanges.find(engine, id=ids[1])] == [ids[1]]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"id": 1}, [1]),
        ({"chatcmpl": "c"}, [2, 1]),
        ({"request_id": "r2"}, [2]),
        ({"id": 1, "chatcmpl": "c"}, [1]),
        ({"id": 1, "request_id": "r2"}, []),
        ({"id": 2, "chatcmpl": "c", "request_id": "r2"}, [2]),
        ({"chatcmpl": "C"}, []),
        ({"id": 10**30}, []),
        ({"id": -(10**30)}, []),
        ({"chatcmpl": "\udcff"}, []),
        ({}, [3, 2, 1]),
    ],
)
def test_calls_are_found_by_all_given_identifiers(
    engine: Engine, add: Add, given: dict[str, object], found: list[int]
) -> None:
    """All identifiers must match; one that no column can contain matches nothing."""
    add(chatcmpl_id="c", msh_request_id="r1")
    add(chatcmpl_id="c", msh_request_id="r2")
    add()
    assert [call.id for call in exchanges.find(engine, **given)] == found  # type: ignore[arg-type]


def test_rows_are_updated_by_their_ids(engine: Engine, add: Add) -> None:
    """Each row gets its own values, and other rows are unchanged; the greatest integer fits."""
    ids = [add(uuid=str(number)) for number in range(3)]
    with writing(engine) as connection:
        rows: list[values.Values] = [{"id": ids[0], "latency": MAX_INT64}, {"id": ids[2], "latency": 5}]
        exchanges.update_exchanges(connection, rows)
    assert [call.latency for call in exchanges.latest(engine, limit=3)] == [5, None, MAX_INT64]


@pytest.mark.usefixtures("file")  # PostgreSQL counts by itself
def test_numbers_of_deleted_rows_do_not_come_again(engine: Engine, add: Add) -> None:
    """A row gets a number that no row ever had, even if an earlier one had its own."""
    assert [add(), add(), add(id=10), add()] == [1, 2, 10, 11]
    with writing(engine) as connection:
        connection.execute(delete(EXCHANGES).where(EXCHANGES.c.id > 2))
    assert add() == 12
