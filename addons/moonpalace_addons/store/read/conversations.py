"""Query the calls that may belong to one conversation."""

from sqlalchemy import Engine, false, or_, select, tuple_

from moonpalace_addons.store.records.exchanges import COLUMNS, Exchange, microseconds, to_exchange
from moonpalace_addons.store.records.ordering import AGE, NEWEST_FIRST
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.wire.faces.table import face_of_path


def earlier_calls(engine: Engine, exchange: Exchange, *, limit: int) -> list[Exchange]:
    """Return at most `limit` calls of its face before a call, to the same endpoint with the same key, newest first."""
    endings = face_of_path(exchange.path).paths
    began = microseconds(exchange.started_at)
    query = (
        select(*COLUMNS)
        .where(
            EXCHANGES.c.started_at <= began,  # redundant, but lets every database use the index
            tuple_(*AGE) < tuple_(began, exchange.id),
            EXCHANGES.c.endpoint == exchange.endpoint,
            EXCHANGES.c.key_fingerprint.is_not_distinct_from(exchange.key_fingerprint),
            or_(false(), *(EXCHANGES.c.path.endswith(ending) for ending in endings)),  # a path without a face has none
        )
        .order_by(*NEWEST_FIRST)
        .limit(limit)
    )
    with engine.connect() as connection:
        return [to_exchange(row) for row in connection.execute(query).mappings()]
