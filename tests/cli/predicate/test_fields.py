"""Tests of the table of fields."""

import pytest
from sqlalchemy import inspect

from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_cli.listing.columns import BY_NAME
from moonpalace_cli.predicate.columns import EXPRESSIONS
from moonpalace_cli.predicate.fields import EXTRACTS, FIELDS


def test_columns_of_the_view_are_fields(filled_sqlite: object) -> None:
    """Every column of the documented view is a field."""
    columns = inspect(filled_sqlite.engine).get_columns("moonshot_requests")  # type: ignore[attr-defined]
    assert {column["name"] for column in columns} - set(FIELDS) == set()
    assert len(columns) > 40


def test_columns_of_the_list_are_fields() -> None:
    """Whatever `mpal list --columns` shows can be asked for."""
    assert set(BY_NAME) - set(FIELDS) == set()


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_field_has_a_column(name: str) -> None:
    """Every field is a column, or an expression that is known."""
    field = FIELDS[name]
    apart = {"tags", "text", "request", "response", *EXPRESSIONS}
    assert field.column in apart or field.column in EXCHANGES.c


def test_extracts_have_indexes() -> None:
    """The columns that stand for paths have an index, but for those that few calls have."""
    indexed = {index.columns[0].name for index in EXCHANGES.indexes}
    unindexed = {extract.column for extract in EXTRACTS.values()} - indexed
    assert unindexed == {"cached_tokens", "reasoning_tokens"}
