"""Correct what rows of calls say of context caches."""

from sqlalchemy import Engine, update

from moonpalace_addons.store.engine import writing
from moonpalace_addons.store.schema import EXCHANGES


def none_created(engine: Engine, uuid: str) -> bool:
    """Have a call not say any more that its cache was created; tell whether it did."""
    columns = EXCHANGES.c
    change = update(EXCHANGES).where(columns.uuid == uuid, columns.cache_outcome == "created")
    with writing(engine) as connection:
        return connection.execute(change.values(cache_outcome="miss")).rowcount > 0
