"""The deletion of old calls."""

from datetime import datetime

from sqlalchemy import ColumnElement, Engine, delete, func, select

from moonpalace_addons.store.engine import writing
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.tasks import State


def count_before(engine: Engine, moment: datetime) -> int:
    """Return how many calls `delete_before` would delete."""
    query = select(func.count()).select_from(EXCHANGES).where(*ended_before(moment))
    with engine.connect() as connection:
        return connection.execute(query).scalar_one()


def delete_before(engine: Engine, moment: datetime) -> int:
    """Delete the calls that began before `moment` and are over; return how many."""
    with writing(engine) as connection:
        return connection.execute(delete(EXCHANGES).where(*ended_before(moment))).rowcount


def ended_before(moment: datetime) -> list[ColumnElement[bool]]:
    """Return the condition for calls that began before `moment` and are over."""
    return [
        EXCHANGES.c.started_at < int(moment.timestamp() * 1e6),
        EXCHANGES.c.state != State.IN_FLIGHT,
    ]
