"""The progress of each rule that reports calls, so that it sees every call exactly once, after its end.

Calls do not end in the order in which they begin, and on PostgreSQL rows may not become visible in the order of their
ids. Ids of unfinished or missing calls are therefore noted and checked again.
"""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from sqlalchemy import ColumnElement, Connection, and_, case, func, select, update

from moonpalace_addons.store.records.id_lists import among
from moonpalace_addons.store.records.insertion import insert_into
from moonpalace_addons.store.schema import EXCHANGES, REPORT_RULES
from moonpalace_addons.store.state import State

MAX_SPAN = 2_000
"""Ids per step: few enough for a predicate on bodies to finish within the store's time limit."""
MISSING_TIMEOUT = 60.0
"""Seconds after which an id without a row is considered unused."""
GOING, OTHER, WANTED = 0, 1, 2
"""The stages of a call: unfinished, ended, and ended with the condition met."""

TABLE = REPORT_RULES.c


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a rule.

    `unfinished` has the ids up to `looked_to` of calls that were unfinished or missing, with the time of the first
    check in seconds since the epoch. `turn` changes with each step.
    """

    turn: int
    looked_to: int
    unfinished: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Step:
    """The matching calls of one step, oldest first, and the rule's progress after it."""

    found: tuple[int, ...]
    before: Progress
    after: Progress


def progress(connection: Connection, name: str) -> Progress | None:
    """Return the progress of a rule; None if it is new."""
    row = connection.execute(select(TABLE.turn, TABLE.looked_to, TABLE.unfinished).where(TABLE.name == name)).first()
    if row is None:
        return None
    return Progress(row.turn, row.looked_to, {int(call): since for call, since in json.loads(row.unfinished).items()})


def begin(connection: Connection, name: str, since: int) -> None:
    """Record a new rule: it sees calls in flight, and calls since `since`, in microseconds since the epoch."""
    earlier = select(func.coalesce(func.max(EXCHANGES.c.id), 0)).where(EXCHANGES.c.started_at < since)
    newest: int = connection.execute(earlier).scalar_one()
    going = dict.fromkeys(in_flight(connection, newest), time.time())
    values = {"name": name, "turn": 0, "looked_to": newest, "unfinished": json.dumps(going)}
    insert = insert_into(REPORT_RULES, connection.dialect.name)
    connection.execute(insert.values(values).on_conflict_do_nothing(index_elements=["name"]))


def has_more(connection: Connection, before: Progress) -> bool:
    """Return whether there are calls to check; possibly none of them has ended."""
    return bool(before.unfinished) or last_id(connection) > before.looked_to


def step(connection: Connection, before: Progress, condition: ColumnElement[bool]) -> Step | None:
    """Return the calls that have ended since and meet the condition; None if there is nothing new to check."""
    newest = max(before.looked_to, min(last_id(connection), before.looked_to + MAX_SPAN))
    # Before the next query, so that a row that appears meanwhile is checked again.
    absent = missing(connection, before.looked_to, newest)
    stages = looked_at(connection, before, newest, condition)
    unfinished = still_open([*before.unfinished, *absent], before, stages)
    after = Progress(before.turn + 1, newest, unfinished)
    found = tuple(sorted(call for call, stage in stages.items() if stage == WANTED))
    if not found and (after.looked_to, after.unfinished) == (before.looked_to, before.unfinished):
        return None
    return Step(found, before, after)


def missing(connection: Connection, last: int, newest: int) -> list[int]:
    """Return the ids after `last`, up to `newest`, that no call has."""
    new = and_(EXCHANGES.c.id > last, EXCHANGES.c.id <= newest)
    if connection.execute(select(func.count()).select_from(EXCHANGES).where(new)).scalar_one() == newest - last:
        return []
    present = set(connection.execute(select(EXCHANGES.c.id).where(new)).scalars())
    return [call for call in range(last + 1, newest + 1) if call not in present]


def looked_at(connection: Connection, before: Progress, newest: int, condition: ColumnElement[bool]) -> dict[int, int]:
    """Return the stages of new calls, except `OTHER`, and of calls that were unfinished before.

    Each row is read once, by its id: with an index on a column of the condition, the database would read all calls ever
    made.
    """
    stage = case((EXCHANGES.c.state == State.IN_FLIGHT, GOING), (condition, WANTED), else_=OTHER)
    query, new = select(EXCHANGES.c.id, stage), and_(EXCHANGES.c.id > before.looked_to, EXCHANGES.c.id <= newest)
    noted = among(EXCHANGES.c.id, list(before.unfinished), connection.dialect.name)
    rows = [*connection.execute(query.where(new, stage != OTHER))]
    rows += connection.execute(query.where(noted)) if before.unfinished else ()
    return {row[0]: row[1] for row in rows}


def still_open(expected: Iterable[int], before: Progress, stages: Mapping[int, int]) -> dict[int, float]:
    """Return those of the expected ids and of the unfinished calls that have to be checked again."""
    now = time.time()
    open_calls = (call for call in chain(expected, stages) if stages.get(call, GOING) == GOING)
    # At most the current time, so that after a clock was set back an id is not kept for that long.
    since = {call: min(now, before.unfinished.get(call, now)) for call in open_calls}
    return {call: seen for call, seen in since.items() if call in stages or now - seen < MISSING_TIMEOUT}


def advance(connection: Connection, name: str, done: Step) -> bool:
    """Record a step; return False if another process has recorded one since it began."""
    values = {
        "turn": done.after.turn,
        "looked_to": done.after.looked_to,
        "unfinished": json.dumps(done.after.unfinished),
    }
    statement = update(REPORT_RULES).where(TABLE.name == name, TABLE.turn == done.before.turn)
    return bool(connection.execute(statement.values(values)).rowcount)


def lock(connection: Connection, name: str) -> None:
    """Lock a rule against the same step in other processes, until the end of the transaction."""
    connection.execute(update(REPORT_RULES).where(TABLE.name == name).values(name=name))


def last_id(connection: Connection) -> int:
    """Return the greatest id of a call."""
    newest: int = connection.execute(select(func.coalesce(func.max(EXCHANGES.c.id), 0))).scalar_one()
    return newest


def in_flight(connection: Connection, newest: int) -> list[int]:
    """Return the unfinished calls up to an id."""
    query = select(EXCHANGES.c.id).where(EXCHANGES.c.state == State.IN_FLIGHT, EXCHANGES.c.id <= newest)
    return list(connection.execute(query).scalars())
