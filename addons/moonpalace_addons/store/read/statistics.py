"""Query the numbers of each call that statistics are computed from."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, Engine, select

from moonpalace_addons.store.fields import FIELDS
from moonpalace_addons.store.records.exchanges import matching
from moonpalace_addons.store.records.expressions import expression
from moonpalace_addons.store.records.ordering import NEWEST_FIRST
from moonpalace_addons.store.records.values import MAX_INT64

BATCH_SIZE = 10_000

type Measured = tuple[str | None, str, int | None, str | None, *tuple[Any, ...]]
"""Model, state, status code, error kind and other fields of a call, durations in nanoseconds.

A tuple because there may be a million.
"""


def measured(
    engine: Engine,
    numbers: Sequence[str],
    *,
    chat_only: bool = False,
    where: ColumnElement[bool] | None = None,
    limit: int | None = None,
) -> Iterator[Sequence[Measured]]:
    """Yield batches of the calls that match, as for `exchanges.latest`; with `limit` only the newest.

    `numbers` are the names of the other fields. Batches, because a store may hold more calls than fit into memory.
    """
    names = ("model", "state", "status_code", "error_kind", *numbers)
    query = select(*(expression(FIELDS[name]) for name in names))
    query = query.where(*matching(chat_only=chat_only, where=where))
    if limit is not None:
        query = query.order_by(*NEWEST_FIRST).limit(min(limit, MAX_INT64))
    with engine.connect() as connection:
        # An option of the connection would hold for what begins the transaction too, and leave it unread.
        for rows in connection.execute(query, execution_options={"yield_per": BATCH_SIZE}).partitions():
            yield cast(Sequence[Measured], rows)
