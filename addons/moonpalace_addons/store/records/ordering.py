"""The orders in which calls can be listed.

Age is the time at which the request began; the id only breaks ties, because it reflects when a call came into this
store, which is late for imported calls.
"""

from sqlalchemy import ColumnElement

from moonpalace_addons.store.field import Field
from moonpalace_addons.store.records.expressions import expression
from moonpalace_addons.store.schema import EXCHANGES

AGE = (EXCHANGES.c.started_at, EXCHANGES.c.id)
"""A unique sort key that grows with each newer call."""
OLDEST_FIRST = tuple(column.asc() for column in AGE)
NEWEST_FIRST = tuple(column.desc() for column in AGE)

INDEXED = ("id", "started_at")
"""Indexed columns that are never NULL, so that the first rows are found without reading the others."""


def order_by(field: Field, *, descending: bool) -> list[ColumnElement[object]]:
    """Return the ordering by a field.

    NULL comes last in either direction. Among equal values the newest comes first; for an indexed column they follow
    its direction, so that the index yields them in order.
    """
    sorted_by = expression(field)
    side = sorted_by.desc() if descending else sorted_by.asc()
    if is_indexed(field):
        return [side, EXCHANGES.c.id.desc() if descending else EXCHANGES.c.id.asc()]
    return [side.nulls_last(), *NEWEST_FIRST]


def is_indexed(field: Field) -> bool:
    """Return whether the first calls in this order are found without reading all of them."""
    return field.source in INDEXED
