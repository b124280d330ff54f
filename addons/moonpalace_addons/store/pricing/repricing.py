"""Calculate the costs of stored calls again after prices have changed."""

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, Engine, and_, select, true

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.pricing.pricing import NO_COST, READ, Pricing
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.records.id_lists import among
from moonpalace_addons.store.schema import EXCHANGES

AT_ONCE = 200
"""Calls per transaction."""


def price(connection: Connection, pricing: Pricing, ids: Sequence[int]) -> int:
    """Calculate the costs of these calls; return the number of calls whose cost changed."""
    read = [EXCHANGES.c[name] for name in ("id", *READ, *NO_COST)]
    rows = connection.execute(select(*read).where(among(EXCHANGES.c.id, ids, connection.dialect.name))).mappings().all()
    changed = []
    for row in rows:
        columns = pricing.columns(dict(row))
        if any(row[name] != value for name, value in columns.items()):
            changed.append(columns | {"id": row["id"]})
    exchanges.update_exchanges(connection, changed)
    return len(changed)


def reprice(engine: Engine, pricing: Pricing, where: ColumnElement[bool] | None = None) -> Iterator[tuple[int, int]]:
    """Calculate the costs of matching calls; after each transaction, yield the numbers of calls done and changed."""
    last = done = changed = 0
    while True:
        with writing(engine) as connection:
            query = select(EXCHANGES.c.id).where(and_(EXCHANGES.c.id > last, true() if where is None else where))
            ids = connection.execute(query.order_by(EXCHANGES.c.id).limit(AT_ONCE)).scalars().all()
            changed += price(connection, pricing, ids) if ids else 0
        if not ids:
            return
        last, done = ids[-1], done + len(ids)
        yield done, changed
