"""What the statistics are made from: a few numbers of each call."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Engine, select

from moonpalace_addons.store.records.exchanges import matching
from moonpalace_addons.store.records.ordering import MODEL, NEWEST_FIRST
from moonpalace_addons.store.records.values import GREATEST
from moonpalace_addons.store.schema import EXCHANGES

BATCH = 10_000


class Measured(NamedTuple):
    """What statistics need of a call; durations are in nanoseconds. A tuple, as there may be a million."""

    model: str | None
    state: str
    status_code: int | None
    error_kind: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    time_to_first_token: int | None
    time_per_output_token: int | None
    latency: int | None


def measured(
    engine: Engine,
    *,
    chat_only: bool = False,
    since: datetime | None = None,
    where: ColumnElement[bool] | None = None,
    limit: int | None = None,
) -> Iterator[Sequence[Measured]]:
    """Yield the calls for which everything given holds, as for `exchanges.latest`; with `limit` the newest of them.

    They come in batches: a store may have more calls than fit into memory.
    """
    query = select(MODEL.label("model"), *(EXCHANGES.c[name] for name in Measured._fields[1:]))
    query = query.where(*matching(chat_only=chat_only, since=since, where=where))
    if limit is not None:
        query = query.order_by(*NEWEST_FIRST).limit(min(limit, GREATEST))
    with engine.connect() as connection:
        for rows in connection.execution_options(yield_per=BATCH).execute(query).partitions():
            yield [Measured._make(row) for row in rows]
