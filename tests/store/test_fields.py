"""Tests of the catalogue of fields."""

import subprocess
import sys
from collections import Counter
from itertools import product
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.fields import CATALOGUE, FIELDS, OTHERS, find, names_of
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.records.exchanges import NAMES
from moonpalace_addons.store.records.expressions import expression
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.state import State
from moonpalace_addons.store.write.derive import EMPTY


def test_what_is_stored_of_a_call_is_a_field() -> None:
    """Every stored attribute of a call is a field under the same name."""
    assert set(NAMES) - set(FIELDS) == set()


def test_a_field_has_a_meaning() -> None:
    """Its meaning is given in both languages, once."""
    for said in ([field.meaning for field in CATALOGUE], [field.chinese for field in CATALOGUE]):
        assert all(said)
        assert len(set(said)) == len(said)


def test_what_describes_an_attribute_is_no_value() -> None:
    """A call cannot be created without one of its values."""
    with pytest.raises(TypeError, match="missing"):
        Exchange()


def test_a_name_is_that_of_one_field() -> None:
    """No name is used by two fields, or twice by one."""
    counted = Counter(name for field in CATALOGUE for name in (field.name, *field.also.split()))
    assert counted.most_common(1)[0][1] == 1
    assert sorted(name for field in CATALOGUE for name in names_of(field)) == sorted(FIELDS)


def test_each_field_has_a_source() -> None:
    """Every field is a column or an expression with an equivalent in Python, except those read separately."""
    for field in CATALOGUE:
        if field.kind not in ("json", "words"):
            assert bool(field.sql) != (field.source in EXCHANGES.c), field.name
            assert bool(field.sql) == bool(field.value) or field.name == "tags", field.name


def test_no_entry_is_left_out() -> None:
    """A field's position refers to an existing field."""
    assert set(OTHERS) <= set(CATALOGUE)


def test_sql_and_python_agree(engine: Engine, run_id: str) -> None:
    """The SQL of a derived field, on both databases, agrees with Python."""
    texts = [None, "", "text"]
    causes: list[Values] = [
        {"state": state.value, "error_kind": kind, "error_message": message}
        for state, kind, message in product(State, texts, texts)
    ]
    models: list[Values] = [
        {"model_answered": answered, "model_requested": asked} for answered, asked in product(texts, texts)
    ]
    urls: list[Values] = [
        {"endpoint": f"http://a{end}", "query": query} for end, query in product(("", "/", "/v1//"), ("", "b=?"))
    ]
    plain = EMPTY | {"run_id": run_id, "state": "completed", "method": "GET", "path": "/p", "started_at": 1}
    plain |= {"endpoint": "e", "query": "", "request_headers": "", "request_bytes": 0}
    plain |= {"is_stream": False, "is_coerced": False}
    with writing(engine) as connection:
        rows: list[Values] = [plain | {"uuid": str(uuid4())} | row for row in (*causes, *models, *urls)]
        exchanges.insert_exchanges(connection, rows)
        derived = [field for field in CATALOGUE if field.value]
        query = select(EXCHANGES.c.id, *map(expression, derived))
        in_sql = {row[0]: tuple(row[1:]) for row in connection.execute(query)}
    calls = exchanges.latest(engine, limit=None)
    assert {call.id: tuple(field.of(call) for field in derived) for call in calls} == in_sql
    assert len(calls) == len(rows)


@pytest.mark.parametrize(("name", "found"), [("Latency", "latency"), ("STREAM", "stream"), ("is_stream", "stream")])
def test_find(name: str, found: str) -> None:
    """Fields are found by all their names, ignoring case."""
    assert find(name) is FIELDS[found]
    assert find(f"{name}s") is None


def test_the_catalogue_costs_no_database() -> None:
    """Completion and help use it without loading database libraries."""
    script = "import sys, moonpalace_addons.store.fields; print('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"
