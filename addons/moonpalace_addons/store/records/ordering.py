"""The orders in which calls can be listed.

What is older or newer is told by when the request began, and by the id only of calls that began together: an id says
when a call came into this store, and a call that is imported came late.
"""

from sqlalchemy import ColumnElement, and_, case, func, select

from moonpalace_addons.store.schema import EXCHANGES, TAGS
from moonpalace_addons.store.tasks import State

AGE = (EXCHANGES.c.started_at, EXCHANGES.c.id)
"""What grows with each newer call, and differs between any two."""
OLDEST_FIRST = tuple(column.asc() for column in AGE)
NEWEST_FIRST = tuple(column.desc() for column in AGE)

MODEL = func.coalesce(EXCHANGES.c.model_answered, EXCHANGES.c.model_requested)
FIRST_TAG = (
    select(func.min(TAGS.c.tag)).where(TAGS.c.exchange_id == EXCHANGES.c.id).correlate(EXCHANGES).scalar_subquery()
)
KIND, MESSAGE = (func.nullif(EXCHANGES.c[name], "") for name in ("error_kind", "error_message"))
ERROR: ColumnElement[object] = case(
    (and_(KIND.is_not(None), MESSAGE.is_not(None)), EXCHANGES.c.error_kind + ": " + EXCHANGES.c.error_message),
    else_=func.coalesce(
        KIND, MESSAGE, case((EXCHANGES.c.state.not_in((State.COMPLETED, State.IN_FLIGHT)), EXCHANGES.c.state))
    ),
)
"""Why a call failed, as it is shown: kind and message, at least the state."""
DERIVED: dict[str, tuple[ColumnElement[object], ...]] = {
    "model": (MODEL,),
    "error": (ERROR,),
    "tags": (FIRST_TAG,),
    "url": (EXCHANGES.c.endpoint, EXCHANGES.c.path, EXCHANGES.c.query),
}
INDEXED = ("id", "started_at")
"""What never has NULL and has an index: the first rows are found without looking at the others."""


def order_by(name: str, *, descending: bool) -> list[ColumnElement[object]]:
    """Return the order by a column of `exchanges`, or by "model", "error", "tags" or "url".

    What is unknown comes last either way. Of equals the newest is first; with an index they follow the direction of the
    column, so that the index gives them as they are wanted.
    """
    columns = DERIVED.get(name) or (EXCHANGES.c[name],)
    sides = [column.desc() if descending else column.asc() for column in columns]
    if name in INDEXED:
        return [*sides, EXCHANGES.c.id.desc() if descending else EXCHANGES.c.id.asc()]
    return [*(side.nulls_last() for side in sides), *NEWEST_FIRST]


def is_indexed(name: str) -> bool:
    """Tell whether the first calls in this order are found without reading all of them."""
    return name in INDEXED
