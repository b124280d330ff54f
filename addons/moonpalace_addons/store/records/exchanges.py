"""The rows of calls, without bodies and streams."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
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
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import DataError

from moonpalace_addons.store.exchange import Exchange as Exchange  # re-exported
from moonpalace_addons.store.records.expressions import stored
from moonpalace_addons.store.records.insertion import insert_many, json_rows, recordset
from moonpalace_addons.store.records.ordering import NEWEST_FIRST
from moonpalace_addons.store.records.response_headers import UNSHARED
from moonpalace_addons.store.records.values import MAX_INT64, Values
from moonpalace_addons.store.schema import EXCHANGES, HINTS
from moonpalace_addons.store.state import State


def kinds_of(name: str) -> tuple[type, ...]:
    """Return the Python types that a column may hold; an int is valid for a float column."""
    column = EXCHANGES.c[name]
    kind = column.type.python_type
    kinds: tuple[type, ...] = {float: (float, int), str: (str, State)}.get(kind, (kind,))
    return (*kinds, type(None)) if column.nullable or name == "request_headers" else kinds


NAMES = tuple(HINTS)
PLACES = {name: place for place, name in enumerate(NAMES)}
REQUEST_HEADERS, WARNINGS = PLACES["request_headers"], PLACES["warnings"]
GIVEN: Callable[[RowMapping | Mapping[str, object]], tuple[object, ...]] = itemgetter(*NAMES)
# The id is the first of them.
GIVEN_BUT_ID: Callable[[Mapping[str, object]], tuple[object, ...]] = itemgetter(*NAMES[1:])
COLUMNS: list[ColumnElement[object]] = [stored(name) for name in NAMES]


def to_exchange(row: RowMapping | Mapping[str, object]) -> Exchange:
    """Return the Exchange for a row of the table.

    Values of a wrong type, which another program has written, are replaced, and a warning names their columns.
    """
    values = list(GIVEN(row))  # in the order of the attributes: a dict of them would take as long as the rest
    return read_exchange(values, odd_columns(tuple(map(type, values))))


def own_exchange(columns: Values, row_id: int) -> Exchange:
    """Return the Exchange for values of ours, which need no check, that are written under an id."""
    return read_exchange([row_id, *GIVEN_BUT_ID(columns)])


def read_exchange(values: list[object], odd: tuple[str, ...] = ()) -> Exchange:
    """Return the Exchange for the values of a row; those of `odd` columns are of a wrong type."""
    for name in odd:
        values[PLACES[name]] = DEFAULTS.get(name)
    values[REQUEST_HEADERS] = values[REQUEST_HEADERS] or ""  # NULL if the piece is missing
    for place, read in READ:
        try:
            values[place] = read(values[place])
        except (ValueError, TypeError, OverflowError, OSError, RecursionError):
            odd = (*odd, NAMES[place])
            values[place] = read(DEFAULTS.get(NAMES[place]))
    if odd:
        warning = f"the row has values that MoonPalace does not write: {', '.join(odd)}"
        values[WARNINGS] = (*cast(tuple[str, ...], values[WARNINGS]), warning)
    return Exchange._make(values)


@lru_cache(maxsize=1024)
def odd_columns(types: tuple[type, ...]) -> tuple[str, ...]:
    """Return the columns with a wrong type, given the types of all values. Cached, as few rows differ in them."""
    pairs = zip(NAMES, types, strict=True)
    return tuple(name for name, kind in pairs if kind not in kinds_of(name))


def texts_in(column: object) -> tuple[str, ...]:
    """Return the texts of a JSON array of strings; raises ValueError for anything else."""
    if not column or column == "[]":  # the common case
        return ()
    texts = json.loads(cast(str, column))
    if not (isinstance(texts, list) and all(isinstance(each, str) for each in texts)):
        raise ValueError("not a list of texts")
    return tuple(texts)


def moment(column: object) -> datetime:
    """Return the datetime of a column with microseconds since the epoch."""
    return datetime.fromtimestamp(cast(int, column) / 1e6, UTC)


DEFAULTS_BY_KIND = {State: State.UPSTREAM_FAILED, datetime: 0, int: 0, bool: False, str: ""}
DEFAULTS = {name: DEFAULTS_BY_KIND[kind] for name, kind in HINTS.items() if kind in DEFAULTS_BY_KIND}
"""Replacements for values of a wrong type, where not None."""
READERS: dict[object, Callable[[object], object]] = {
    State: lambda column: State(cast(str, column)),
    datetime: moment,
    tuple[str, ...]: texts_in,
}
READ = [(PLACES[name], READERS[kind]) for name, kind in HINTS.items() if kind in READERS]


def latest(
    engine: Engine,
    *,
    limit: int | None,
    chat_only: bool = False,
    where: ColumnElement[bool] | None = None,
    order: Sequence[ColumnElement[object]] = (),
) -> list[Exchange]:
    """Return at most `limit` matching calls (None: all), newest first unless `order` is given.

    `chat_only` selects calls to `…/chat/completions`, `where` adds a condition.
    """
    query = select(*COLUMNS).where(*matching(chat_only=chat_only, where=where))
    query = query.order_by(*(order or NEWEST_FIRST))
    if limit is not None:
        query = query.limit(min(limit, MAX_INT64))
    with engine.connect() as connection:
        return [to_exchange(row) for row in connection.execute(query).mappings()]


def count(
    engine: Engine,
    *,
    chat_only: bool = False,
    where: ColumnElement[bool] | None = None,
) -> int:
    """Return the number of matching calls, as for `latest`."""
    conditions = matching(chat_only=chat_only, where=where)
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(EXCHANGES).where(*conditions)).scalar_one()


def is_chat_completion() -> ColumnElement[bool]:
    """Return the condition that the path of a call is one of chat completions."""
    from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS  # 30 modules, needed by few commands

    return or_(*map(EXCHANGES.c.path.endswith, CHAT_COMPLETIONS.paths))


def matching(*, chat_only: bool = False, where: ColumnElement[bool] | None = None) -> list[ColumnElement[bool]]:
    """Return the conditions that `latest` applies."""
    conditions = [is_chat_completion()] if chat_only else []
    return conditions if where is None else [*conditions, where]


def find(
    engine: Engine,
    *,
    id: int | None = None,  # noqa: A002 - the name of the column
    chatcmpl: str | None = None,
    request_id: str | None = None,
) -> list[Exchange]:
    """Return the calls with all the given identifiers, newest first."""
    identifiers = {EXCHANGES.c.id: id, EXCHANGES.c.chatcmpl_id: chatcmpl, EXCHANGES.c.msh_request_id: request_id}
    query = select(*COLUMNS).order_by(*NEWEST_FIRST)
    for column, value in identifiers.items():
        if value is not None:
            query = query.where(column == value)
    with engine.connect() as connection:
        try:
            return [to_exchange(row) for row in connection.execute(query).mappings()]
        except (OverflowError, UnicodeEncodeError, DataError):
            return []  # out of the range of any column


LAST_ID = text(
    "SELECT max((SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'exchanges'),"
    " (SELECT coalesce(max(id), 0) FROM exchanges))"
)
"""The greatest id that any row has had on SQLite; new ids continue from it."""


def insert_exchanges(connection: Connection, rows: Sequence[Values]) -> dict[str, int]:
    """Insert rows of `exchanges`, all with the same columns; return their ids by uuid.

    Headers are stored first, unless the rows already have the columns that `shared_pieces.keep` returns.
    """
    if not rows:
        return {}
    if "request_headers_part" not in rows[0]:
        # It imports PostgreSQL's dialect, which takes 0.04 s and is not needed for reading.
        from moonpalace_addons.store.records import shared_pieces

        columns = shared_pieces.keep(connection, {str(row["uuid"]): row for row in rows})
        rows = [row | columns[str(row["uuid"])] for row in rows]
    if connection.dialect.name == "sqlite":
        return insert_numbered(connection, rows)
    inserted = recordset(EXCHANGES, list(rows[0]))
    statement = insert(EXCHANGES).from_select(list(rows[0]), select(inserted))
    returned = connection.execute(statement.returning(EXCHANGES.c.uuid, EXCHANGES.c.id), json_rows(rows))
    return {row.uuid: row.id for row in returned}


def insert_numbered(connection: Connection, rows: Sequence[Values]) -> dict[str, int]:
    """Give rows the next ids, unless they have their own, and insert them, in a transaction without other writers.

    Returning ids from the database would need a separate statement for each number of rows, and each is cached with the
    memory of all its values: tens of megabytes in a proxy.
    """
    first = 1 + cast(int, connection.execute(LAST_ID).scalar_one())
    for number, row in enumerate(rows, first):
        row.setdefault("id", number)
    columns = tuple(rows[0])
    insert_many(connection, EXCHANGES, columns, [*map(itemgetter(*columns), rows)])
    return {str(row["uuid"]): cast(int, row["id"]) for row in rows}


def update_exchanges(connection: Connection, rows: Sequence[Values]) -> None:
    """Update rows of `exchanges` by their `id`; all have the same columns."""
    if not rows:
        return
    if "response_headers" in rows[0] and "response_headers_part" not in rows[0]:
        rows = [row | UNSHARED for row in rows]
    columns = [name for name in rows[0] if name != "id"]
    if connection.dialect.name == "postgresql":
        inserted = recordset(EXCHANGES, list(rows[0]))
        changed = update(EXCHANGES).where(EXCHANGES.c.id == inserted.c.id)
        connection.execute(changed.values({name: inserted.c[name] for name in columns}), json_rows(rows))
        return
    renamed = [{"row_id": row["id"]} | {f"new_{name}": row[name] for name in columns} for row in rows]
    connection.execute(update_of(tuple(columns)), renamed)


@lru_cache(maxsize=32)
def update_of(columns: tuple[str, ...]) -> Update:
    """Return the statement that updates these columns of one row. Cached: building it costs as much as ten updates."""
    changed = update(EXCHANGES).where(EXCHANGES.c.id == bindparam("row_id"))
    return changed.values({name: bindparam(f"new_{name}") for name in columns})
