"""The rows of calls, without what the calls carried: values in, values out."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Update,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DataError

from moonpalace_addons.store.fields import Exchange as Exchange  # most know it from here
from moonpalace_addons.store.records.expressions import stored
from moonpalace_addons.store.records.insertion import insert_many, json_rows, recordset
from moonpalace_addons.store.records.ordering import NEWEST_FIRST
from moonpalace_addons.store.records.response_headers import UNSHARED
from moonpalace_addons.store.records.values import MAX_INT64, Values
from moonpalace_addons.store.schema import EXCHANGES, HINTS
from moonpalace_addons.store.state import State


def kinds_of(name: str) -> tuple[type, ...]:
    """Return the types of the values that a column may have: an integer is a number with a fraction too."""
    column = EXCHANGES.c[name]
    kind = column.type.python_type
    kinds: tuple[type, ...] = {float: (float, int), str: (str, State)}.get(kind, (kind,))
    return (*kinds, type(None)) if column.nullable or name == "request_headers" else kinds


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NAMES = tuple(HINTS)
COLUMNS: list[ColumnElement[object]] = [stored(name) for name in NAMES]


def to_exchange(row: RowMapping | Mapping[str, object]) -> Exchange:
    """Return the value for a row of the table, or for the values that are about to become one.

    What no column of ours holds, and another program has written there, is left out, and a warning names the columns.
    """
    values = {name: row[name] for name in NAMES}
    odd = odd_columns(tuple(map(type, values.values())))
    values |= {name: ABSENT.get(name) for name in odd}
    values["request_headers"] = values["request_headers"] or ""  # none if the store has lost the piece
    for name, read in READ.items():
        try:
            values[name] = read(values[name])
        except (ValueError, TypeError, OverflowError, OSError, RecursionError):
            odd = (*odd, name)
            values[name] = read(ABSENT.get(name))
    if odd:
        warning = f"the row has values that MoonPalace does not write: {', '.join(odd)}"
        values["warnings"] = (*cast(tuple[str, ...], values["warnings"]), warning)
    return Exchange(**values)  # type: ignore[arg-type]


@lru_cache(maxsize=1024)
def odd_columns(types: tuple[type, ...]) -> tuple[str, ...]:
    """Return which columns have values of a wrong type, where these are the types of all. Few rows differ in them."""
    pairs = zip(NAMES, types, strict=True)
    return tuple(name for name, kind in pairs if kind not in kinds_of(name))


def texts_in(column: object) -> tuple[str, ...]:
    """Return the texts of a JSON array; raises ValueError for another."""
    if not column or column == "[]":  # nearly all
        return ()
    found = json.loads(cast(str, column))
    if not (isinstance(found, list) and all(isinstance(each, str) for each in found)):
        raise ValueError("no list of texts")
    return tuple(found)


def moment(column: object) -> datetime:
    """Return the moment that a column holds."""
    return datetime.fromtimestamp(cast(int, column) / 1e6, UTC)


ABSENT_KINDS = {State: State.UPSTREAM_FAILED, datetime: 0, int: 0, bool: False, str: ""}
ABSENT = {name: ABSENT_KINDS[kind] for name, kind in HINTS.items() if kind in ABSENT_KINDS}
"""What stands for a value that is none of ours, if not None."""
READERS: dict[object, Callable[[object], object]] = {
    State: lambda column: State(cast(str, column)),
    datetime: moment,
    tuple[str, ...]: texts_in,
}
READ = {name: READERS[kind] for name, kind in HINTS.items() if kind in READERS}


def latest(
    engine: Engine,
    *,
    limit: int | None,
    chat_only: bool = False,
    since: datetime | None = None,
    where: ColumnElement[bool] | None = None,
    order: Sequence[ColumnElement[object]] = (),
    offset: int = 0,
) -> list[Exchange]:
    """Return at most `limit` calls (None: all) for which everything given holds, newest first unless `order` says else.

    `chat_only` takes those to a `…/chat/completions`, `since` those that began then or later; the first `offset` calls
    are left out.
    """
    query = select(*COLUMNS).where(*matching(chat_only=chat_only, since=since, where=where))
    query = query.order_by(*(order or NEWEST_FIRST))
    if limit is not None or offset:
        query = query.limit(MAX_INT64 if limit is None else min(limit, MAX_INT64)).offset(min(offset, MAX_INT64))
    with engine.connect() as connection:
        return [to_exchange(row) for row in connection.execute(query).mappings()]


def count(
    engine: Engine,
    *,
    chat_only: bool = False,
    since: datetime | None = None,
    where: ColumnElement[bool] | None = None,
) -> int:
    """Return how many calls there are for which everything given holds, as for `latest`."""
    conditions = matching(chat_only=chat_only, since=since, where=where)
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(EXCHANGES).where(*conditions)).scalar_one()


def matching(
    *, chat_only: bool = False, since: datetime | None = None, where: ColumnElement[bool] | None = None
) -> list[ColumnElement[bool]]:
    """Return the conditions for the calls that `latest` gives."""
    conditions = [EXCHANGES.c.path.endswith("/chat/completions")] if chat_only else []
    if since is not None:
        conditions.append(EXCHANGES.c.started_at >= microseconds(since))
    return conditions if where is None else [*conditions, where]


def microseconds(moment: datetime) -> int:
    """Return the moment as the table has it."""
    return (moment - EPOCH) // MICROSECOND


def find(
    engine: Engine,
    *,
    id: int | None = None,  # noqa: A002 - the name of the column
    chatcmpl: str | None = None,
    request_id: str | None = None,
) -> list[Exchange]:
    """Return the calls for which all given identifiers hold, newest first."""
    given = {EXCHANGES.c.id: id, EXCHANGES.c.chatcmpl_id: chatcmpl, EXCHANGES.c.msh_request_id: request_id}
    query = select(*COLUMNS).order_by(*NEWEST_FIRST)
    for column, value in given.items():
        if value is not None:
            query = query.where(column == value)
    with engine.connect() as connection:
        try:
            return [to_exchange(row) for row in connection.execute(query).mappings()]
        except (OverflowError, UnicodeEncodeError, DataError):
            return []  # no column can hold such an integer or text


LAST_NUMBER = text(
    "SELECT max((SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'exchanges'),"
    " (SELECT coalesce(max(id), 0) FROM exchanges))"
)
"""The number that SQLite counts on from: the greatest that a row ever had."""


def insert_exchanges(connection: Connection, rows: Sequence[Values]) -> dict[str, int]:
    """Insert rows of `exchanges`, which all have the same columns; return their ids by uuid.

    Their headers are stored first, unless they come as `carried.keep` has returned them.
    """
    if not rows:
        return {}
    if "request_headers_part" not in rows[0]:
        # 0.04 s for PostgreSQL's dialect, which those who only read need not pay.
        from moonpalace_addons.store.records import carried

        kept = carried.keep(connection, {str(row["uuid"]): row for row in rows})
        rows = [row | kept[str(row["uuid"])] for row in rows]
    if connection.dialect.name == "sqlite":
        return insert_numbered(connection, rows)
    given = recordset(EXCHANGES, list(rows[0]))
    statement = insert(EXCHANGES).from_select(list(rows[0]), select(given))
    found = connection.execute(statement.returning(EXCHANGES.c.uuid, EXCHANGES.c.id), json_rows(rows))
    return {row.uuid: row.id for row in found}


def insert_numbered(connection: Connection, rows: Sequence[Values]) -> dict[str, int]:
    """Insert rows where nobody else writes in the meantime, under the next numbers unless they bring their own.

    To have the database number and return them would take a statement of its own for each number of rows: every one of
    them is kept, prepared, with the memory of all its values, tens of megabytes for a proxy.
    """
    first = 1 + cast(int, connection.execute(LAST_NUMBER).scalar_one())
    numbered = [{"id": first + place} | row for place, row in enumerate(rows)]
    insert_many(connection, EXCHANGES, numbered)
    return {str(row["uuid"]): cast(int, row["id"]) for row in numbered}


def update_exchanges(connection: Connection, rows: Sequence[Values]) -> None:
    """Update rows of `exchanges` by their `id`; all rows have the same columns."""
    if not rows:
        return
    if "response_headers" in rows[0] and "response_headers_part" not in rows[0]:
        rows = [row | UNSHARED for row in rows]
    columns = [name for name in rows[0] if name != "id"]
    if connection.dialect.name == "postgresql":
        given = recordset(EXCHANGES, list(rows[0]))
        changed = update(EXCHANGES).where(EXCHANGES.c.id == given.c.id)
        connection.execute(changed.values({name: given.c[name] for name in columns}), json_rows(rows))
        return
    renamed = [{"row_id": row["id"]} | {f"new_{name}": row[name] for name in columns} for row in rows]
    connection.execute(update_of(tuple(columns)), renamed)


@lru_cache(maxsize=32)
def update_of(columns: tuple[str, ...]) -> Update:
    """Return the statement that updates these columns of one row; making it anew costs as much as updating ten rows."""
    changed = update(EXCHANGES).where(EXCHANGES.c.id == bindparam("row_id"))
    return changed.values({name: bindparam(f"new_{name}") for name in columns})
