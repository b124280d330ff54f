"""Tests of the catalogue of fields."""

import subprocess
import sys
from collections import Counter

import pytest

from moonpalace_addons.store.fields import CATALOGUE, FIELDS, Field, find, names_of
from moonpalace_addons.store.records.exchanges import NAMES
from moonpalace_addons.store.schema import EXCHANGES


def test_what_is_stored_of_a_call_is_a_field() -> None:
    """Whatever a call has is a field, under the name that it is stored under."""
    assert set(NAMES) - set(FIELDS) == set()


def test_a_name_is_that_of_one_field() -> None:
    """No two fields have a name in common, and none has one twice."""
    counted = Counter(name for field in CATALOGUE for name in (field.name, *field.also.split()))
    assert counted.most_common(1)[0][1] == 1
    assert sorted(name for field in CATALOGUE for name in names_of(field)) == sorted(FIELDS)


@pytest.mark.parametrize("field", CATALOGUE, ids=lambda field: field.name)
def test_field_has_a_source(field: Field) -> None:
    """Every field is a column or an expression, which has its twin in Python; but for what is read apart."""
    if field.kind in ("json", "words"):
        return
    assert bool(field.sql) != (field.source in EXCHANGES.c)
    assert bool(field.sql) == bool(field.value) or field.name == "tags"


@pytest.mark.parametrize(("name", "found"), [("Latency", "latency"), ("STREAM", "stream"), ("is_stream", "stream")])
def test_find(name: str, found: str) -> None:
    """Fields have all of their names, in capitals too."""
    assert find(name) is FIELDS[found]
    assert find(f"{name}s") is None


def test_the_catalogue_costs_no_database() -> None:
    """Completion and help read it without the libraries of databases."""
    script = "import sys, moonpalace_addons.store.fields; print('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"
