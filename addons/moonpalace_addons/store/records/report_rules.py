"""How far each rule that reports calls has looked, so that it sees every call once, when that is over.

Calls end in another order than they begin, and on PostgreSQL rows may become visible in another order than their ids.
Calls that are not over, or not there, when their ids are passed are therefore noted and looked at again.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update

from moonpalace_addons.store.records.id_lists import among
from moonpalace_addons.store.records.insertion import insert_into
from moonpalace_addons.store.schema import EXCHANGES, REPORT_RULES
from moonpalace_addons.store.state import State

MAX_SPAN = 20_000
"""Ids that are looked at in one step."""
MISSING_TIMEOUT = 60.0
"""Seconds after which an id without a row counts as that of no call."""

TABLE = REPORT_RULES.c


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rule has looked.

    `unfinished` are ids up to `looked_to` of calls that were not over or not there, with the moment when that was first
    seen, in seconds since the epoch. `turn` changes with each step.
    """

    turn: int
    looked_to: int
    unfinished: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Step:
    """The calls that a rule has found, oldest first, and how far it has looked with them."""

    found: tuple[int, ...]
    before: Progress
    after: Progress


def progress(connection: Connection, name: str) -> Progress | None:
    """Return how far a rule has looked, None if it is new."""
    row = connection.execute(select(TABLE.turn, TABLE.looked_to, TABLE.unfinished).where(TABLE.name == name)).first()
    if row is None:
        return None
    return Progress(row.turn, row.looked_to, {int(call): since for call, since in json.loads(row.unfinished).items()})


def begin(connection: Connection, name: str, since: int) -> None:
    """Record a new rule: it sees calls that began since then, in microseconds since the epoch, and those in flight."""
    earlier = select(func.coalesce(func.max(EXCHANGES.c.id), 0)).where(EXCHANGES.c.started_at < since)
    newest: int = connection.execute(earlier).scalar_one()
    going = dict.fromkeys(in_flight(connection, newest), time.time())
    values = {"name": name, "turn": 0, "looked_to": newest, "unfinished": json.dumps(going)}
    insert = insert_into(REPORT_RULES, connection.dialect.name)
    connection.execute(insert.values(values).on_conflict_do_nothing(index_elements=["name"]))


def step(connection: Connection, before: Progress, condition: ColumnElement[bool]) -> Step | None:
    """Return the calls that have ended since and fulfil the condition; None if there is nothing new to look at."""
    newest = min(last_id(connection), before.looked_to + MAX_SPAN)
    if newest <= before.looked_to and not before.unfinished:
        return None
    noted = among(EXCHANGES.c.id, list(before.unfinished), connection.dialect.name)
    new = or_(and_(EXCHANGES.c.id > before.looked_to, EXCHANGES.c.id <= newest), noted)
    query = select(EXCHANGES.c.id).where(new, EXCHANGES.c.state != State.IN_FLIGHT, condition).order_by(EXCHANGES.c.id)
    unfinished = still_open(connection, before, newest)  # first: a call that ends meanwhile is found, now or next time
    found = tuple(connection.execute(query).scalars())
    after = Progress(before.turn + 1, newest, {call: unfinished[call] for call in unfinished.keys() - set(found)})
    if not found and (after.looked_to, after.unfinished) == (before.looked_to, before.unfinished):
        return None
    return Step(found, before, after)


def still_open(connection: Connection, before: Progress, newest: int) -> dict[int, float]:
    """Return the ids up to `newest` that have to be looked at again."""
    now = time.time()
    expected = [*before.unfinished, *range(before.looked_to + 1, newest + 1)]
    new = and_(EXCHANGES.c.id > before.looked_to, EXCHANGES.c.id <= newest)
    noted = among(EXCHANGES.c.id, list(before.unfinished), connection.dialect.name)
    present = set(connection.execute(select(EXCHANGES.c.id).where(or_(new, noted))).scalars())
    going = set(in_flight(connection, newest))
    since = {call: before.unfinished.get(call, now) for call in expected if call in going or call not in present}
    return {call: seen for call, seen in since.items() if call in present or now - seen < MISSING_TIMEOUT}


def advance(connection: Connection, name: str, done: Step) -> bool:
    """Record a step; return False if another process has made one since it was begun."""
    values = {
        "turn": done.after.turn,
        "looked_to": done.after.looked_to,
        "unfinished": json.dumps(done.after.unfinished),
    }
    statement = update(REPORT_RULES).where(TABLE.name == name, TABLE.turn == done.before.turn)
    return bool(connection.execute(statement.values(values)).rowcount)


def lock(connection: Connection, name: str) -> None:
    """Have other processes wait that do the same with this rule, until the end of the transaction."""
    connection.execute(update(REPORT_RULES).where(TABLE.name == name).values(name=name))


def last_id(connection: Connection) -> int:
    """Return the largest id of a call."""
    newest: int = connection.execute(select(func.coalesce(func.max(EXCHANGES.c.id), 0))).scalar_one()
    return newest


def in_flight(connection: Connection, newest: int) -> list[int]:
    """Return the calls up to an id that are not over."""
    query = select(EXCHANGES.c.id).where(EXCHANGES.c.state == State.IN_FLIGHT, EXCHANGES.c.id <= newest)
    return list(connection.execute(query).scalars())
