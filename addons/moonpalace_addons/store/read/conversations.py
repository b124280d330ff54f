"""Query the calls that may belong to one conversation."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Engine, false, or_, select, tuple_

from moonpalace_addons.store.records.exchanges import COLUMNS, Exchange, to_exchange
from moonpalace_addons.store.records.ordering import AGE, NEWEST_FIRST, OLDEST_FIRST
from moonpalace_addons.store.records.values import microseconds
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.wire.faces.table import face_of_path

MAX_LOOKED_AT = 2000
"""Maximum calls on each side of a call that are searched for those of its conversation."""


class Candidate(NamedTuple):
    """A call that may belong to the conversation of another one."""

    id: int
    path: str
    request_bytes: int
    chatcmpl_id: str | None


def earlier_calls(engine: Engine, exchange: Exchange, *, limit: int) -> list[Exchange]:
    """Return at most `limit` earlier calls of the same face to the same endpoint with the same key, newest first."""
    query = select(*COLUMNS).where(*beside(exchange, later=False), *akin(exchange)).order_by(*NEWEST_FIRST).limit(limit)
    with engine.connect() as connection:
        return [to_exchange(row) for row in connection.execute(query).mappings()]


def candidates(engine: Engine, exchange: Exchange, *, later: bool, limit: int) -> list[Candidate]:
    """Return at most `limit` calls of the call's session before or after it, nearest first.

    A call without a session gets others without one. They are of the same face, to the same endpoint, with the same
    key, and among the `MAX_LOOKED_AT` nearest of all calls.
    """
    order = OLDEST_FIRST if later else NEWEST_FIRST
    nearest = (
        select(EXCHANGES.c.id).where(*beside(exchange, later=later)).order_by(*order).limit(MAX_LOOKED_AT).subquery()
    )
    query = select(*(EXCHANGES.c[name] for name in Candidate._fields)).join(nearest, nearest.c.id == EXCHANGES.c.id)
    query = query.where(*akin(exchange), EXCHANGES.c.session.is_not_distinct_from(exchange.session))
    with engine.connect() as connection:
        return [Candidate(*row) for row in connection.execute(query.order_by(*order).limit(limit))]


def beside(exchange: Exchange, *, later: bool) -> list[ColumnElement[bool]]:
    """Return the conditions for the calls before or after a call."""
    age, place = tuple_(*AGE), (microseconds(exchange.started_at), exchange.id)
    began = EXCHANGES.c.started_at
    # The comparison of the time alone is redundant, but lets every database use the index.
    if later:
        return [began >= place[0], age > tuple_(*place)]
    return [began <= place[0], age < tuple_(*place)]


def akin(exchange: Exchange) -> list[ColumnElement[bool]]:
    """Return the conditions for calls of the same face to the same endpoint with the same key."""
    endings = face_of_path(exchange.path).paths
    return [
        EXCHANGES.c.endpoint == exchange.endpoint,
        EXCHANGES.c.key_fingerprint.is_not_distinct_from(exchange.key_fingerprint),
        or_(false(), *(EXCHANGES.c.path.endswith(ending) for ending in endings)),  # nothing without a face
    ]
