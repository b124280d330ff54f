"""Which calls are to go, how much room that makes, and their deletion."""

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
from moonpalace_addons.store.records.exchanges import microseconds
from moonpalace_addons.store.records.id_lists import among
from moonpalace_addons.store.records.ordering import AGE, NEWEST_FIRST, OLDEST_FIRST
from moonpalace_addons.store.records.values import MAX_INT64
from moonpalace_addons.store.schema import EVENT_STREAMS, EXCHANGES, PARTS, TAGS
from moonpalace_addons.store.state import State
from moonpalace_addons.store.upkeep import unused
from moonpalace_addons.store.upkeep.space import stream_length

ROW = 700
"""Bytes that a call takes beside its bodies and headers: the other columns and the indexes."""

PIECE = 64
"""Bytes that a piece takes beside its data."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Say which calls go: those that began before a moment, and all but the last so many.

    Calls with a category, a tag or a note stay unless `include_labelled`; calls under way stay always.
    """

    before: datetime | None = None
    keep_last: int | None = None
    include_labelled: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The calls that go by a rule, oldest first, and how many stay only because they are labelled."""

    calls: list[int]
    labelled: int


def expired(engine: Engine, rule: Rule) -> Found:
    """Return the calls that go by a rule."""
    with engine.connect() as connection:
        condition = and_(over(), aged(connection, rule))
        going = condition if rule.include_labelled else and_(condition, ~labelled())
        calls = connection.execute(select(EXCHANGES.c.id).where(going).order_by(*OLDEST_FIRST)).scalars().all()
        staying = 0
        if not rule.include_labelled:
            count = select(func.count()).select_from(EXCHANGES).where(condition, labelled())
            staying = connection.execute(count).scalar_one()
    return Found(list(calls), staying)


def any_expired(engine: Engine, rule: Rule) -> bool:
    """Tell whether any call goes by a rule."""
    with engine.connect() as connection:
        going = and_(over(), aged(connection, rule), *([] if rule.include_labelled else [~labelled()]))
        return connection.execute(select(EXCHANGES.c.id).where(going).limit(1)).first() is not None


def oldest(engine: Engine, room: int, *, include_labelled: bool) -> Found:
    """Return the oldest calls that must go to make so many bytes of room, about; all if that is not enough.

    What calls share is counted with the last that has it. `labelled` counts all labelled calls.
    """
    going = over() if include_labelled else and_(over(), ~labelled())
    with engine.connect() as connection:
        count = select(func.count()).select_from(EXCHANGES).where(labelled())
        staying = 0 if include_labelled else connection.execute(count).scalar_one()
        shared = {row.last: int(row.freed) for row in connection.execute(freed_by_age(connection, going))}
        rows = connection.execute(own_bytes(going))
        calls = list(until(room, ((row.started_at, row.id, int(row.own)) for row in rows), shared))
    return Found(calls, staying)


def until(room: int, rows: Iterator[tuple[int, int, int]], shared: dict[int, int]) -> Iterator[int]:
    """Iterate over the ids of (moment, id, bytes of its own) until, with `shared` by moment, there is enough room."""
    for moment, alike in groupby(rows, key=lambda row: row[0]):
        if room <= 0:
            return
        room -= shared.get(moment, 0)
        for _, call, own in alike:
            yield call
            room -= own


def over() -> ColumnElement[bool]:
    """Return the condition for calls that are not under way."""
    return EXCHANGES.c.state != State.IN_FLIGHT


def labelled() -> ColumnElement[bool]:
    """Return the condition for calls that somebody has labelled."""
    tagged = exists().where(TAGS.c.exchange_id == EXCHANGES.c.id)
    return or_(EXCHANGES.c.category.is_not(None), EXCHANGES.c.note.is_not(None), tagged)


def aged(connection: Connection, rule: Rule) -> ColumnElement[bool]:
    """Return the condition for calls that a rule makes go by their age."""
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
    """Return the query for moment, id and bytes that are its own of each of these calls, oldest first."""
    columns = ("request_headers", "response_headers", "request_parts", "response_parts")
    lengths = [func.length(func.coalesce(EXCHANGES.c[name], "")) for name in columns]
    stream = func.coalesce(stream_length(), 0)
    own = sum(lengths, stream + ROW).label("own")
    source = EXCHANGES.outerjoin(EVENT_STREAMS, EVENT_STREAMS.c.exchange_id == EXCHANGES.c.id)
    return select(*AGE, own).select_from(source).where(going).order_by(*OLDEST_FIRST)


def freed_by_age(connection: Connection, going: ColumnElement[bool]) -> Executable:
    """Return the query for how many bytes of pieces are free once the calls until a moment, the column `last`, went."""
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
    freed = func.sum(func.length(PARTS.c.data) + PIECE).label("freed")
    source = by_piece.join(PARTS, PARTS.c.id == by_piece.c.part)
    return select(by_piece.c.last, freed).select_from(source).group_by(by_piece.c.last)


def delete_calls(connection: Connection, calls: Sequence[int], *, include_labelled: bool) -> int:
    """Delete those of these calls that may go, with all that they carried; return how many, in a transaction alone.

    Their pieces are noted as perhaps unused.
    """
    going = over() if include_labelled else and_(over(), ~labelled())
    query = select(EXCHANGES.c.id).where(among(EXCHANGES.c.id, calls, connection.dialect.name), going)
    ids = list(connection.execute(query).scalars())
    if ids:
        unused.note_those_of(connection, ids)
        connection.execute(delete(EXCHANGES).where(among(EXCHANGES.c.id, ids, connection.dialect.name)))
    return len(ids)
