"""The SQL of the view `calls`: one row for each call, without bodies."""

from collections.abc import Mapping

from moonpalace_addons.store.field import Field, Kind
from moonpalace_addons.store.sql_views.columns import CALLS, COLUMNS, START, Column

TAGS = {
    "sqlite": """nullif((SELECT json_group_array(tag) FROM (SELECT t.tag AS tag FROM exchange_tags t
        WHERE t.exchange_id = exchanges.id ORDER BY t.tag)), '[]')""",
    "postgresql": """(SELECT jsonb_agg(t.tag ORDER BY t.tag) FROM exchange_tags t
        WHERE t.exchange_id = exchanges.id)""",
}
LISTS = {
    "sqlite": "nullif(exchanges.{name}, '[]')",
    "postgresql": "moonpalace_jsonb(nullif(exchanges.{name}, '[]'))",
}
MOMENTS = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%fZ', ({microseconds}) / 1000000.0, 'unixepoch')",
    "postgresql": "to_timestamp(({microseconds}) / 1000000.0)",
}
"""A moment, given in microseconds."""
TYPES: Mapping[Kind, str] = {"whole": "BIGINT", "decimal": "FLOAT", "truth": "BOOLEAN"}
"""The types of derived fields that are not text."""


def calls(dialect: str) -> str:
    """Return the query that is the view."""
    expressions = (f"{expression(column, dialect)} AS {column.name}" for column in COLUMNS[CALLS])
    return f"SELECT {',\n    '.join(expressions)}\nFROM exchanges"


def expression(column: Column, dialect: str) -> str:
    """Return the expression of a column."""
    field = column.field
    assert field is not None  # noqa: S101 - every column of this view shows a field
    name = computed(field) if field.sql else f"exchanges.{field.source}"
    if field.kind == "set":
        return TAGS[dialect] if field.name == "tags" else LISTS[dialect].format(name=field.source)
    if field.kind == "moment" and column.name != START:
        return MOMENTS[dialect].format(microseconds=name)
    return milliseconds(name) if field.unit else name


def milliseconds(nanoseconds: str) -> str:
    """Return nanoseconds as milliseconds with decimals."""
    return f"CAST({nanoseconds} AS FLOAT) / 1000000"


def computed(field: Field) -> str:
    """Return the expression of a derived field; a cast tells programs its type."""
    return f"CAST(({field.sql}) AS {TYPES.get(field.kind, 'TEXT')})"
