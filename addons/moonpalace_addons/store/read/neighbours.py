"""Query the calls around a call that may explain how it ended."""

from sqlalchemy import Engine, func, select

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.records.ordering import NEWEST_FIRST
from moonpalace_addons.store.records.values import microseconds
from moonpalace_addons.store.schema import EXCHANGES

MINUTE = 60_000_000


def accepted_elsewhere(engine: Engine, call: Exchange) -> str | None:
    """Return another endpoint that accepted the key of a call, None if none is known."""
    if call.key_fingerprint is None:
        return None
    query = (
        select(EXCHANGES.c.endpoint)
        .where(
            EXCHANGES.c.key_fingerprint == call.key_fingerprint,
            EXCHANGES.c.endpoint != call.endpoint,
            EXCHANGES.c.status_code.between(200, 299),
        )
        .order_by(*NEWEST_FIRST)
        .limit(1)
    )
    with engine.connect() as connection:
        return connection.execute(query).scalar()


def calls_in_minute_before(engine: Engine, call: Exchange) -> int:
    """Return how many calls with the same key began in the minute before a call."""
    began = microseconds(call.started_at)
    query = select(func.count()).where(
        EXCHANGES.c.started_at.between(began - MINUTE, began),
        EXCHANGES.c.key_fingerprint.is_not_distinct_from(call.key_fingerprint),
        EXCHANGES.c.id != call.id,
    )
    with engine.connect() as connection:
        return connection.execute(query).scalar_one()
