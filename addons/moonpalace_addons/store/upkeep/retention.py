"""Select expired calls, estimate the space that they take, and delete them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    union_all,
)

from moonpalace_addons.store.records.body_text import SIDES, pieces
from moonpalace_addons.store.records.id_lists import among
from moonpalace_addons.store.records.ordering import AGE, NEWEST_FIRST, OLDEST_FIRST
from moonpalace_addons.store.records.values import MAX_INT64, microseconds
from moonpalace_addons.store.schema import EVENT_STREAMS, EXCHANGES, PARTS, TAGS
from moonpalace_addons.store.state import State
from moonpalace_addons.store.upkeep import unused
from moonpalace_addons.store.upkeep.space import stream_length

ROW_OVERHEAD = 700
"""Bytes of a call besides its bodies and headers: the other columns and the indexes."""

PIECE_OVERHEAD = 64
"""Bytes of a piece besides its data."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A retention rule: delete calls that began before `before`, and all except the newest `keep_last`.

    Calls with a category, a tag or a note are kept unless `include_labelled`; calls in flight are always kept.
    """

    before: datetime | None = None
    keep_last: int | None = None
    include_labelled: bool = False


@dataclass(frozen=True, slots=True)
class Expired:
    """The calls to delete, oldest first, and the number of calls kept only because they are labelled."""

    calls: list[int]
    labelled: int


def expired(engine: Engine, rule: Rule) -> Expired:
    """Return the calls that a rule deletes."""
    with engine.connect() as connection:
        condition = and_(over(), aged(connection, rule))
        going = condition if rule.include_labelled else and_(condition, ~labelled())
        calls = connection.execute(select(EXCHANGES.c.id).where(going).order_by(*OLDEST_FIRST)).scalars().all()
        staying = 0
        if not rule.include_labelled:
            count = select(func.count()).select_from(EXCHANGES).where(condition, labelled())
            staying = connection.execute(count).scalar_one()
    return Expired(list(calls), staying)


def any_expired(engine: Engine, rule: Rule) -> bool:
    """Return whether a rule deletes any call."""
    with engine.connect() as connection:
        going = and_(over(), aged(connection, rule), *([] if rule.include_labelled else [~labelled()]))
        return connection.execute(select(EXCHANGES.c.id).where(going).limit(1)).first() is not None


def oldest(engine: Engine, room: int, *, include_labelled: bool) -> Expired:
    """Return the oldest calls that take about `room` bytes together; all calls if that is not enough.

    Shared pieces count for the newest call that uses them. `labelled` counts all labelled calls.
    """
    going = over() if include_labelled else and_(over(), ~labelled())
    with engine.connect() as connection:
        count = select(func.count()).select_from(EXCHANGES).where(labelled())
        staying = 0 if include_labelled else connection.execute(count).scalar_one()
        shared = {row.last: int(row.freed) for row in connection.execute(freed_by_age(connection, going))}
        rows = connection.execute(own_bytes(going))
        calls = list(until(room, ((row.started_at, row.id, int(row.own)) for row in rows), shared))
    return Expired(calls, staying)


def until(room: int, rows: Iterator[tuple[int, int, int]], shared: dict[int, int]) -> Iterator[int]:
    """Yield the ids of rows (time, id, own bytes) until they and `shared`, by time, add up to `room` bytes."""
    for moment, alike in groupby(rows, key=lambda row: row[0]):
        if room <= 0:
            return
        room -= shared.get(moment, 0)
        for _, call, own in alike:
            yield call
            room -= own


def over() -> ColumnElement[bool]:
    """Return the condition for calls that are not in flight."""
    return EXCHANGES.c.state != State.IN_FLIGHT


def labelled() -> ColumnElement[bool]:
    """Return the condition for labelled calls."""
    tagged = exists().where(TAGS.c.exchange_id == EXCHANGES.c.id)
    return or_(EXCHANGES.c.category.is_not(None), EXCHANGES.c.note.is_not(None), tagged)


def aged(connection: Connection, rule: Rule) -> ColumnElement[bool]:
    """Return the condition for calls that a rule deletes by age."""
    conditions: list[ColumnElement[bool]] = []
    if rule.before is not None:
        conditions.append(EXCHANGES.c.started_at < microseconds(rule.before))
    if rule.keep_last is not None:
        newest = select(*AGE).order_by(*NEWEST_FIRST)
        first = connection.execute(newest.offset(min(rule.keep_last, MAX_INT64)).limit(1)).first()
        if first is not None:
            conditions.append(tuple_(*AGE) <= tuple_(*first))
    return or_(*conditions) if conditions else ~true()


def own_bytes(going: ColumnElement[bool]) -> Executable:
    """Return the query for time, id and own bytes of each of these calls, oldest first."""
    columns = ("request_headers", "response_headers", "request_parts", "response_parts")
    lengths = [func.length(func.coalesce(EXCHANGES.c[name], "")) for name in columns]
    stream = func.coalesce(stream_length(), 0)
    own = sum(lengths, stream + ROW_OVERHEAD).label("own")
    source = EXCHANGES.outerjoin(EVENT_STREAMS, EVENT_STREAMS.c.exchange_id == EXCHANGES.c.id)
    return select(*AGE, own).select_from(source).where(going).order_by(*OLDEST_FIRST)


def freed_by_age(connection: Connection, going: ColumnElement[bool]) -> Executable:
    """Return the query for the bytes of pieces that become unused when the calls up to the time `last` are deleted."""
    moment = case((going, EXCHANGES.c.started_at), else_=literal(MAX_INT64)).label("moment")
    listed = [pieces(side, connection.dialect.name) for side in SIDES]
    uses = union_all(
        *(
            select(each.part_id.label("part"), moment).select_from(EXCHANGES.join(each.source, true()))
            for each in listed
        ),
        *(select(column, moment).where(column.is_not(None)) for column in unused.HEADERS),
    ).subquery()
    last = func.max(uses.c.moment).label("last")
    by_piece = select(uses.c.part, last).group_by(uses.c.part).subquery()
    freed = func.sum(func.length(PARTS.c.data) + PIECE_OVERHEAD).label("freed")
    source = by_piece.join(PARTS, PARTS.c.id == by_piece.c.part)
    return select(by_piece.c.last, freed).select_from(source).group_by(by_piece.c.last)


def delete_calls(connection: Connection, calls: Sequence[int], *, include_labelled: bool) -> int:
    """Delete those of the calls that may be deleted; return their number. Needs an exclusive transaction.

    Their pieces are noted as possibly unused.
    """
    going = over() if include_labelled else and_(over(), ~labelled())
    query = select(EXCHANGES.c.id).where(among(EXCHANGES.c.id, calls, connection.dialect.name), going)
    ids = list(connection.execute(query).scalars())
    if ids:
        unused.note_those_of(connection, ids)
        connection.execute(delete(EXCHANGES).where(among(EXCHANGES.c.id, ids, connection.dialect.name)))
    return len(ids)
