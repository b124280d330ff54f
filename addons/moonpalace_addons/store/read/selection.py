"""Select calls by a condition and read them in batches."""

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Engine, Text, and_, cast, func, or_, select
from sqlalchemy.exc import DataError

from moonpalace_addons.store.field import Field
from moonpalace_addons.store.records.exchanges import COLUMNS, Exchange, to_exchange
from moonpalace_addons.store.records.expressions import expression
from moonpalace_addons.store.records.labels import chunks
from moonpalace_addons.store.records.ordering import NEWEST_FIRST
from moonpalace_addons.store.schema import EXCHANGES

IDENTIFIERS = (
    EXCHANGES.c.chatcmpl_id,
    EXCHANGES.c.msh_request_id,
    EXCHANGES.c.client_request_id,
    EXCHANGES.c.uuid,
)
"""The columns of identifiers that users may give for a call."""
MAX_OFFERED, MAX_VALUES = 50, 200
"""Maximum numbers of identifiers, and of a field's values, that completion offers."""
MAX_SEARCHED = 2000
"""Newest calls whose values completion offers."""


def chosen_ids(
    engine: Engine,
    condition: ColumnElement[bool] | None = None,
    *,
    last: int | None = None,
    of_programs: bool = False,
) -> list[int]:
    """Return the ids of matching calls, oldest first; only the newest `last` if given.

    `of_programs` excludes the calls that MoonPalace made itself.
    """
    query = select(EXCHANGES.c.id).order_by(*NEWEST_FIRST)
    if of_programs:
        query = query.where(EXCHANGES.c.purpose.is_(None))
    if condition is not None:
        query = query.where(condition)
    if last is not None:
        query = query.limit(last)
    with engine.connect() as connection:
        return list(connection.execute(query).scalars())[::-1]


def in_order(engine: Engine, ids: Sequence[int]) -> Iterator[Exchange]:
    """Yield the calls with these ids in this order; deleted calls are left out."""
    for some in chunks(ids):
        with engine.connect() as connection:
            rows = connection.execute(select(*COLUMNS).where(EXCHANGES.c.id.in_(some))).mappings()
            exchanges = {exchange.id: exchange for exchange in map(to_exchange, rows)}
        yield from (exchanges[exchange_id] for exchange_id in some if exchange_id in exchanges)


def ids_between(engine: Engine, first: int, last: int) -> list[int]:
    """Return the ids of the stored calls from `first` to `last`, ascending."""
    query = select(EXCHANGES.c.id).where(EXCHANGES.c.id.between(first, last)).order_by(EXCHANGES.c.id)
    with engine.connect() as connection:
        return list(connection.execute(query).scalars())


def called(engine: Engine, name: str) -> list[int]:
    """Return the ids of the calls with this identifier, newest first; a uuid only matches its own call."""
    own = with_identifier(engine, [EXCHANGES.c.uuid == name])
    return [row_id for row_id, _ in own or with_identifier(engine, [column == name for column in IDENTIFIERS])]


def identified(engine: Engine, beginning: str, end: str = "") -> dict[int, list[str]]:
    """Return the newest calls with an identifier that begins and ends like this, as identifiers by call id."""
    conditions = [
        and_(column.startswith(beginning, autoescape=True), column.endswith(end, autoescape=True))
        for column in IDENTIFIERS
    ]
    rows = with_identifier(engine, conditions, MAX_OFFERED)
    return {row_id: [each for each in names if each and suits(each, beginning, end)] for row_id, names in rows}


def with_identifier(
    engine: Engine, conditions: Sequence[ColumnElement[bool]], limit: int | None = None
) -> list[tuple[int, list[str | None]]]:
    """Return the ids and identifiers of matching calls, newest first."""
    query = select(EXCHANGES.c.id, *IDENTIFIERS).where(or_(*conditions)).order_by(*NEWEST_FIRST).limit(limit)
    with engine.connect() as connection:
        try:
            return [(row_id, names) for row_id, *names in connection.execute(query)]
        except (UnicodeEncodeError, DataError):
            return []  # no column can contain such a text


def suits(identifier: str, beginning: str, end: str) -> bool:
    """Return whether an identifier begins and ends like this, ignoring case as LIKE does on SQLite."""
    return identifier.lower().startswith(beginning.lower()) and identifier.lower().endswith(end.lower())


def ids_beginning(engine: Engine, beginning: str) -> list[tuple[int, str]]:
    """Return the newest ids that begin with these digits, each with the call's method and path."""
    query = select(EXCHANGES.c.id, EXCHANGES.c.method, EXCHANGES.c.path).order_by(*NEWEST_FIRST).limit(MAX_OFFERED)
    if beginning:
        query = query.where(cast(EXCHANGES.c.id, Text).startswith(beginning, autoescape=True))
    with engine.connect() as connection:
        return [(row.id, f"{row.method} {row.path}") for row in connection.execute(query)]


def names_beginning(engine: Engine, column: str, beginning: str) -> list[str]:
    """Return the newest distinct values with this prefix in a column of identifiers."""
    named = EXCHANGES.c[column]
    query = select(named).where(named.is_not(None)).order_by(*NEWEST_FIRST).limit(MAX_OFFERED)
    if beginning:
        query = query.where(named.startswith(beginning, autoescape=True))
    with engine.connect() as connection:
        return list(dict.fromkeys(connection.execute(query).scalars()))


def values_seen(engine: Engine, field: Field) -> list[tuple[object, int]]:
    """Return the values of a field among the newest calls with their numbers of calls, most frequent first."""
    newest = select(expression(field).label("value")).select_from(EXCHANGES).order_by(*NEWEST_FIRST).limit(MAX_SEARCHED)
    value, calls = newest.subquery().c.value, func.count().label("calls")
    query = (
        select(value, calls).where(value.is_not(None)).group_by(value).order_by(calls.desc(), value).limit(MAX_VALUES)
    )
    with engine.connect() as connection:
        return [(row.value, row.calls) for row in connection.execute(query)]
