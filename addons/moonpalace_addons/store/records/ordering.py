"""The orders in which calls can be listed.

What is older or newer is told by when the request began, and by the id only of calls that began together: an id says
when a call came into this store, and a call that is imported came late.
"""

from sqlalchemy import ColumnElement

from moonpalace_addons.store.fields import Field
from moonpalace_addons.store.records.expressions import expression
from moonpalace_addons.store.schema import EXCHANGES

AGE = (EXCHANGES.c.started_at, EXCHANGES.c.id)
"""What grows with each newer call, and differs between any two."""
OLDEST_FIRST = tuple(column.asc() for column in AGE)
NEWEST_FIRST = tuple(column.desc() for column in AGE)

INDEXED = ("id", "started_at")
"""What never has NULL and has an index: the first rows are found without looking at the others."""


def order_by(field: Field, *, descending: bool) -> list[ColumnElement[object]]:
    """Return the order by a field.

    What is unknown comes last either way. Of equals the newest is first; with an index they follow the direction of the
    column, so that the index gives them as they are wanted.
    """
    sorted_by = expression(field)
    side = sorted_by.desc() if descending else sorted_by.asc()
    if is_indexed(field):
        return [side, EXCHANGES.c.id.desc() if descending else EXCHANGES.c.id.asc()]
    return [side.nulls_last(), *NEWEST_FIRST]


def is_indexed(field: Field) -> bool:
    """Tell whether the first calls in this order are found without reading all of them."""
    return field.source in INDEXED
