"""Reports of calls: pending and sent ones, and which process may send them.

A report is claimed by a conditional update before its first byte is sent, and its outcome is recorded by another one. A
report that stays claimed was being sent by a process that died: whether it arrived is in doubt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Engine, case, func, select, update

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records.clock import database_now
from moonpalace_addons.store.records.id_lists import among
from moonpalace_addons.store.records.insertion import insert_into
from moonpalace_addons.store.schema import DELIVERIES

SECOND = 1_000_000
CLAIM_TIMEOUT = 180 * SECOND
"""Microseconds after which a claimed report is considered abandoned by a dead process; longer than any attempt takes.
"""
DAY = 86_400 * SECOND
MAX_PAUSE = 8 * DAY
"""Microseconds; longer than any rule gathers calls and any receiver asks to wait."""
KEPT_TIME = 7 * DAY
"""Microseconds for which a finished report is kept after its call was deleted, so that a rule's limit counts it.

It cannot be sent twice: nobody can report a deleted call, and ids are not reused.
"""

TABLE = DELIVERIES.c


class DeliveryState(StrEnum):
    """The state of a report; it is `SENDING` from before its first byte until the receiver's answer is stored."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"
    IN_DOUBT = "in_doubt"


WAITING = (DeliveryState.PENDING, DeliveryState.SENDING)
TO_SEND = (DeliveryState.PENDING, DeliveryState.REFUSED)
"""The states of a report that was certainly not delivered."""
OTHERS = "others"
"""The likeness of a report about calls of several kinds whose number is unknown."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A report of a call; times are microseconds since the epoch by the database's clock.

    It covers `calls` calls of `kinds` kinds (or more, if its likeness is `OTHERS`), of which `exchange_id`, the newest,
    is shown; that call may have been deleted.
    """

    id: int
    marker: str
    exchange_id: int | None
    destination: str
    rule: str | None
    likeness: str | None
    calls: int
    kinds: int
    state: DeliveryState
    attempts: int
    first_at: int
    last_at: int
    created_at: int
    due_at: int
    changed_at: int
    tried_at: int | None
    address: str | None
    reason: str | None


COLUMNS = [TABLE[each.name] for each in fields(Delivery)]


def read(
    connection: Connection, *conditions: ColumnElement[bool], limit: int | None = None, lock: bool = False
) -> list[Delivery]:
    """Return the reports that meet the conditions, oldest first; the newest `limit` of them.

    With `lock` nobody can claim them before the end of the transaction.
    """
    query = select(*COLUMNS).where(*conditions).order_by(TABLE.id.desc()).limit(limit)
    query = query.with_for_update() if lock else query
    rows = connection.execute(query).mappings().all()
    return [Delivery(**dict(row) | {"state": DeliveryState(row["state"])}) for row in reversed(rows)]


def numbered(connection: Connection, number: int) -> Delivery | None:
    """Return a report by its number."""
    return next(iter(read(connection, TABLE.id == number)), None)


def of_call(connection: Connection, exchange_id: int) -> list[Delivery]:
    """Return the reports that show a call, oldest first."""
    return read(connection, TABLE.exchange_id == exchange_id)


def latest(connection: Connection, exchange_id: int, destination: str) -> Delivery | None:
    """Return the latest report of a call to a destination that was sent, is being sent, or may have arrived."""
    attempted = TABLE.state.not_in(TO_SEND)
    sent = read(connection, TABLE.exchange_id == exchange_id, TABLE.destination == destination, attempted, limit=1)
    return sent[0] if sent else None


def wanted(engine: Engine, exchange_id: int, started_at: int, destination: str, *, again: bool) -> Delivery:
    """Return the report of a call to a destination; record it if it is new, or another one with `again`."""
    with writing(engine) as connection:
        if not again and (earlier := latest(connection, exchange_id, destination)) is not None:
            return earlier
        same = (TABLE.exchange_id == exchange_id, TABLE.destination == destination, TABLE.state.not_in(TO_SEND))
        slot = f"{exchange_id} {len(read(connection, *same))} {destination}"
        values = {"slot": slot, "exchange_id": exchange_id, "first_at": started_at, "last_at": started_at}
        add(connection, values | {"destination": destination})
        return read(connection, TABLE.slot == slot)[0]


def add(connection: Connection, values: dict[str, object], *, delay: int = 0) -> None:
    """Record a report that is due in `delay` seconds; do nothing if its slot is taken."""
    now = database_now()
    row = {"marker": uuid4().hex, "calls": 1, "kinds": 1, "state": DeliveryState.PENDING, "attempts": 0}
    row |= {"created_at": now, "changed_at": now, "due_at": now + delay * SECOND}
    insert = insert_into(DELIVERIES, connection.dialect.name)
    connection.execute(insert.values(row | values).on_conflict_do_nothing(index_elements=["slot"]))


def untried(rule: str) -> ColumnElement[bool]:
    """Return the condition for reports of a rule that wait for their first attempt and may cover more calls."""
    return (TABLE.rule == rule) & (TABLE.state == DeliveryState.PENDING) & (TABLE.attempts == 0)


def gathered(connection: Connection, rule: str) -> set[str]:
    """Return the likenesses for which a rule has a report that may cover more calls."""
    return set(connection.execute(select(TABLE.likeness).where(untried(rule))).scalars())


def join(connection: Connection, rule: str, likeness: str, values: Mapping[str, object], *, delay: int) -> None:
    """Add calls to the rule's report of their kind that waits for its first attempt; record one if there is none."""
    waits = select(TABLE.id).where(untried(rule), TABLE.likeness == likeness).limit(1)
    number = connection.execute(waits.with_for_update()).scalar()
    if number is None:
        add(connection, {**values, "rule": rule, "likeness": likeness}, delay=delay)
        return
    newer = {name: values[name] for name in ("exchange_id", "last_at")}
    kinds = values.get("kinds", 1)  # these may be the same kinds that are already counted
    more = {"calls": TABLE.calls + values["calls"], "kinds": case((TABLE.kinds < kinds, kinds), else_=TABLE.kinds)}
    connection.execute(update(DELIVERIES).where(TABLE.id == number).values(more | newer))


def redirect(connection: Connection, rule: str, destination: str) -> None:
    """Send a rule's reports that have not been tried yet to the rule's current destination."""
    statement = update(DELIVERIES).where(untried(rule), TABLE.destination != destination)
    connection.execute(statement.values(destination=destination))


def merge(connection: Connection, others: Sequence[Delivery]) -> None:
    """Merge reports, none of which was tried, into the first one.

    The kinds in `OTHERS`, and those of an earlier merge, may overlap with those of the other reports.
    """
    first, *rest = others
    own = sum(each.likeness != OTHERS for each in others)
    kinds = max(own, *(each.kinds for each in others))
    likeness = first.likeness if own == sum(each.kinds for each in others) else OTHERS
    connection.execute(DELIVERIES.delete().where(TABLE.id.in_([each.id for each in rest])))
    sums = {"calls": sum(each.calls for each in others), "kinds": kinds, "likeness": likeness}
    times = {"first_at": min(each.first_at for each in others), "last_at": max(each.last_at for each in others)}
    connection.execute(update(DELIVERIES).where(TABLE.id == first.id).values(**sums, **times))


def due(connection: Connection, rule: str) -> list[Delivery]:
    """Return the reports of a rule that are due."""
    return read(connection, TABLE.rule == rule, is_due(), lock=True)


def tried_today(connection: Connection, rule: str) -> int:
    """Return how many reports of a rule were first tried in the last 24 hours."""
    query = select(func.count()).where(TABLE.rule == rule, is_near(TABLE.tried_at, DAY))
    return connection.execute(query).scalar_one()


def claim(engine: Engine, delivery: Delivery) -> Delivery | None:
    """Claim a report, unchanged since it was read, before it is sent; return it, or None if another process was first.

    A report that a user sends again may have been refused before.
    """
    same = (TABLE.id == delivery.id, TABLE.state == delivery.state, TABLE.calls == delivery.calls)
    now = database_now()
    values = {"state": DeliveryState.SENDING, "changed_at": now, "reason": None}
    with writing(engine) as connection:
        statement = update(DELIVERIES).where(*same, TABLE.attempts == delivery.attempts)
        counted = {"attempts": TABLE.attempts + 1, "tried_at": func.coalesce(TABLE.tried_at, now)}
        if delivery.state not in TO_SEND or not connection.execute(statement.values(values | counted)).rowcount:
            return None
        return numbered(connection, delivery.id)


def set_state(
    engine: Engine,
    delivery: Delivery,
    state: DeliveryState,
    *,
    address: str | None = None,
    reason: str | None = None,
    delay: float = 0,
) -> bool:
    """Record the outcome of a report since it was read; `delay` is the time in seconds until it is looked at again.

    Return False, and change nothing, if another process has changed it.
    """
    same = (TABLE.id == delivery.id, TABLE.state == delivery.state, TABLE.attempts == delivery.attempts)
    now = database_now()
    values = {"state": state, "changed_at": now, "due_at": now + int(delay * SECOND)}
    with writing(engine) as connection:
        statement = update(DELIVERIES).where(*same).values(values | {"address": address, "reason": reason})
        return bool(connection.execute(statement).rowcount)


def left(connection: Connection, rule: str) -> list[Delivery]:
    """Return the reports of a rule that a dead process was sending, and doubtful ones that are due to be checked."""
    return read(connection, TABLE.rule == rule, is_left())


def is_left() -> ColumnElement[bool]:
    """Return the condition for reports that a dead process was sending, and doubtful ones due to be checked."""
    silent = (TABLE.state == DeliveryState.SENDING) & ~is_near(TABLE.changed_at, CLAIM_TIMEOUT)
    return silent | ((TABLE.state == DeliveryState.IN_DOUBT) & is_over(TABLE.due_at))


def is_due() -> ColumnElement[bool]:
    """Return the condition for due reports."""
    return (TABLE.state == DeliveryState.PENDING) & is_over(TABLE.due_at)


def is_near(moment: ColumnElement[int], distance: int) -> ColumnElement[bool]:
    """Return the condition that a time is at most this long ago, or as far ahead because of a wrong clock."""
    return moment.between(database_now() - distance, database_now() + distance)


def is_over(moment: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the condition that a pause is over: its end has come, or is so far away that the clock was set back."""
    return ~moment.between(database_now() + 1, database_now() + MAX_PAUSE)


def any_open(connection: Connection) -> bool:
    """Return whether any report of a rule is due to be sent or checked."""
    query = select(TABLE.id).where(TABLE.rule.is_not(None), is_due() | is_left())
    return connection.execute(query.limit(1)).first() is not None


def is_abandoned(connection: Connection, delivery: Delivery) -> bool:
    """Return whether a report is claimed by a dead process."""
    return delivery.state is DeliveryState.SENDING and abs(age(connection, delivery)) * SECOND > CLAIM_TIMEOUT


def age(connection: Connection, delivery: Delivery) -> float:
    """Return the seconds since a report changed."""
    now: int = connection.execute(select(database_now())).scalar_one()
    return (now - delivery.changed_at) / SECOND


def failed(connection: Connection, *, limit: int) -> list[Delivery]:
    """Return the newest doubtful reports, and those of rules that were refused in the last week."""
    recent = (TABLE.state == DeliveryState.REFUSED) & (TABLE.changed_at > database_now() - KEPT_TIME)
    recent &= TABLE.rule.is_not(None)
    return read(connection, (TABLE.state == DeliveryState.IN_DOUBT) | recent, limit=limit)


def counts(connection: Connection) -> dict[str, int]:
    """Return the number of reports in each state."""
    return {row[0]: row[1] for row in connection.execute(select(TABLE.state, func.count()).group_by(TABLE.state))}


def outlived(connection: Connection) -> list[int]:
    """Return the numbers of finished reports that changed long ago and whose calls were deleted."""
    return list(connection.execute(select(TABLE.id).where(is_outlived())).scalars())


def is_outlived() -> ColumnElement[bool]:
    """Return the condition for finished reports that changed long ago and whose calls were deleted."""
    is_finished = TABLE.state.not_in(WAITING) & (TABLE.changed_at < database_now() - KEPT_TIME)
    return TABLE.exchange_id.is_(None) & is_finished


def forget(connection: Connection, numbers: Sequence[int]) -> int:
    """Delete those of these reports that have outlived their calls; return the number deleted."""
    chosen = among(TABLE.id, numbers, connection.dialect.name)
    return connection.execute(DELIVERIES.delete().where(chosen, is_outlived())).rowcount
