"""Reports of calls: those to be sent, those that were, and which process may send them.

A report is claimed by one conditional update before a byte of it is sent, and settled by another afterwards. One that
stays claimed was being sent by a process that is gone: whether it arrived is then in doubt.
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
"""Microseconds after which a claimed report counts as left by a dead process: longer than any attempt takes."""
DAY = 86_400 * SECOND
MAX_PAUSE = 8 * DAY
"""Microseconds: longer than a rule gathers calls, and than a receiver is waited for."""
KEPT_TIME = 7 * DAY
"""Microseconds for which a settled report is still known when its call has been deleted, so that a rule's limit counts
it. It cannot go out twice: nobody can report a call that is gone, and its id does not come again."""

TABLE = DELIVERIES.c


class DeliveryState(StrEnum):
    """Where a report is: `SENDING` from before its first byte until the receiver's answer is stored."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"
    IN_DOUBT = "in_doubt"


WAITING = (DeliveryState.PENDING, DeliveryState.SENDING)
TO_SEND = (DeliveryState.PENDING, DeliveryState.REFUSED)
"""The states in which a report was certainly not delivered."""
OTHERS = "others"
"""The likeness of a report that stands for calls of several kinds, of which it is not known how many there are."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A report of a call; moments are microseconds since the epoch, by the database's clock.

    It stands for `calls` calls of `kinds` kinds (or more, if its likeness is `OTHERS`), of which `exchange_id`, the
    newest, is shown; that call may have been deleted.
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
    """Return the reports for which the conditions hold, oldest first; the newest `limit` of them.

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
    """Return the last report of a call to a destination that was sent, is being sent, or may have been."""
    gone = TABLE.state.not_in(TO_SEND)
    found = read(connection, TABLE.exchange_id == exchange_id, TABLE.destination == destination, gone, limit=1)
    return found[0] if found else None


def wanted(engine: Engine, exchange_id: int, started_at: int, destination: str, *, again: bool) -> Delivery:
    """Return the report of a call to a destination, which is recorded unless it is there; `again` records another."""
    with writing(engine) as connection:
        if not again and (earlier := latest(connection, exchange_id, destination)) is not None:
            return earlier
        same = (TABLE.exchange_id == exchange_id, TABLE.destination == destination, TABLE.state.not_in(TO_SEND))
        slot = f"{exchange_id} {len(read(connection, *same))} {destination}"
        values = {"slot": slot, "exchange_id": exchange_id, "first_at": started_at, "last_at": started_at}
        add(connection, values | {"destination": destination})
        return read(connection, TABLE.slot == slot)[0]


def add(connection: Connection, values: dict[str, object], *, delay: int = 0) -> None:
    """Record a report that is to be sent in `delay` seconds; nothing changes if its slot is taken."""
    now = database_now()
    row = {"marker": uuid4().hex, "calls": 1, "kinds": 1, "state": DeliveryState.PENDING, "attempts": 0}
    row |= {"created_at": now, "changed_at": now, "due_at": now + delay * SECOND}
    insert = insert_into(DELIVERIES, connection.dialect.name)
    connection.execute(insert.values(row | values).on_conflict_do_nothing(index_elements=["slot"]))


def untried(rule: str) -> ColumnElement[bool]:
    """Return the condition for reports of a rule that wait for their first attempt, and take in further calls."""
    return (TABLE.rule == rule) & (TABLE.state == DeliveryState.PENDING) & (TABLE.attempts == 0)


def gathered(connection: Connection, rule: str) -> set[str]:
    """Return the likenesses for which a rule has a report that takes in further calls."""
    return set(connection.execute(select(TABLE.likeness).where(untried(rule))).scalars())


def join(connection: Connection, rule: str, likeness: str, values: Mapping[str, object], *, delay: int) -> None:
    """Count calls in the rule's report of their kind that waits for its first attempt; record one if there is none."""
    waits = select(TABLE.id).where(untried(rule), TABLE.likeness == likeness).limit(1)
    found = connection.execute(waits.with_for_update()).scalar()
    if found is None:
        add(connection, {**values, "rule": rule, "likeness": likeness}, delay=delay)
        return
    newer = {name: values[name] for name in ("exchange_id", "last_at")}
    kinds = values.get("kinds", 1)  # they may be those that are counted already
    more = {"calls": TABLE.calls + values["calls"], "kinds": case((TABLE.kinds < kinds, kinds), else_=TABLE.kinds)}
    connection.execute(update(DELIVERIES).where(TABLE.id == found).values(more | newer))


def redirect(connection: Connection, rule: str, destination: str) -> None:
    """Have a rule's reports that were not tried yet go where the rule sends them now."""
    statement = update(DELIVERIES).where(untried(rule), TABLE.destination != destination)
    connection.execute(statement.values(destination=destination))


def merge(connection: Connection, others: Sequence[Delivery]) -> None:
    """Have the first of these reports, none of which was tried, stand for the others as well.

    Kinds among `OTHERS`, and those of an earlier merge, may be those of the other reports again.
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
    """Return the reports of a rule that are to be sent now."""
    return read(connection, TABLE.rule == rule, is_due(), lock=True)


def tried_today(connection: Connection, rule: str) -> int:
    """Return how many reports of a rule were first tried in the last 24 hours."""
    query = select(func.count()).where(TABLE.rule == rule, is_near(TABLE.tried_at, DAY))
    return connection.execute(query).scalar_one()


def claim(engine: Engine, delivery: Delivery) -> Delivery | None:
    """Claim a report that is about to be sent as it was read; return it, None if another process was first.

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


def settle(
    engine: Engine,
    delivery: Delivery,
    state: DeliveryState,
    *,
    address: str | None = None,
    reason: str | None = None,
    delay: float = 0,
) -> bool:
    """Record what became of a report since it was read; `delay` is when to look at it again, in seconds.

    Return False, and change nothing, if somebody else has recorded something since.
    """
    same = (TABLE.id == delivery.id, TABLE.state == delivery.state, TABLE.attempts == delivery.attempts)
    now = database_now()
    values = {"state": state, "changed_at": now, "due_at": now + int(delay * SECOND)}
    with writing(engine) as connection:
        statement = update(DELIVERIES).where(*same).values(values | {"address": address, "reason": reason})
        return bool(connection.execute(statement).rowcount)


def left(connection: Connection, rule: str) -> list[Delivery]:
    """Return the reports of a rule that a dead process was sending, and those in doubt to be asked about again."""
    return read(connection, TABLE.rule == rule, is_left())


def is_left() -> ColumnElement[bool]:
    """Return the condition for reports that a dead process was sending, and those in doubt to be asked about again."""
    silent = (TABLE.state == DeliveryState.SENDING) & ~is_near(TABLE.changed_at, CLAIM_TIMEOUT)
    return silent | ((TABLE.state == DeliveryState.IN_DOUBT) & is_over(TABLE.due_at))


def is_due() -> ColumnElement[bool]:
    """Return the condition for reports that are to be sent now."""
    return (TABLE.state == DeliveryState.PENDING) & is_over(TABLE.due_at)


def is_near(moment: ColumnElement[int], distance: int) -> ColumnElement[bool]:
    """Return the condition that a moment is at most so long ago; one that far in the future is of a wrong clock."""
    return moment.between(database_now() - distance, database_now() + distance)


def is_over(moment: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the condition that a pause is over: its end has come, or is so far away that the clock was set back."""
    return ~moment.between(database_now() + 1, database_now() + MAX_PAUSE)


def any_open(connection: Connection) -> bool:
    """Tell whether there is a report of a rule that is to be sent now, or asked about."""
    query = select(TABLE.id).where(TABLE.rule.is_not(None), is_due() | is_left())
    return connection.execute(query.limit(1)).first() is not None


def is_abandoned(connection: Connection, delivery: Delivery) -> bool:
    """Tell whether a report is claimed by a dead process."""
    return delivery.state is DeliveryState.SENDING and abs(age(connection, delivery)) * SECOND > CLAIM_TIMEOUT


def age(connection: Connection, delivery: Delivery) -> float:
    """Return how long ago a report changed, in seconds."""
    now: int = connection.execute(select(database_now())).scalar_one()
    return (now - delivery.changed_at) / SECOND


def failed(connection: Connection, *, limit: int) -> list[Delivery]:
    """Return the newest reports in doubt, and those of rules that were refused in the last week."""
    recent = (TABLE.state == DeliveryState.REFUSED) & (TABLE.changed_at > database_now() - KEPT_TIME)
    recent &= TABLE.rule.is_not(None)
    return read(connection, (TABLE.state == DeliveryState.IN_DOUBT) | recent, limit=limit)


def counts(connection: Connection) -> dict[str, int]:
    """Return how many reports there are in each state."""
    return {row[0]: row[1] for row in connection.execute(select(TABLE.state, func.count()).group_by(TABLE.state))}


def outlived(connection: Connection) -> list[int]:
    """Return the numbers of the settled reports whose calls were deleted, and that changed long ago."""
    return list(connection.execute(select(TABLE.id).where(is_outlived())).scalars())


def is_outlived() -> ColumnElement[bool]:
    """Return the condition for them."""
    is_settled = TABLE.state.not_in(WAITING) & (TABLE.changed_at < database_now() - KEPT_TIME)
    return TABLE.exchange_id.is_(None) & is_settled


def forget(connection: Connection, numbers: Sequence[int]) -> int:
    """Delete those of these reports that have outlived their calls; return their number."""
    chosen = among(TABLE.id, numbers, connection.dialect.name)
    return connection.execute(DELIVERIES.delete().where(chosen, is_outlived())).rowcount
