"""The pieces of bodies and headers, each stored once.

The columns `request_parts` and `response_parts` hold a JSON array of ids, `request_headers_part` and
`response_headers_part` the id of a single piece. Write only ids from `keep_pieces`, in the same transaction of
`engine.writing`; this keeps the clean-up from deleting a piece that is about to be used.
"""

from collections.abc import Buffer, Iterable, Mapping, Sequence
from functools import cache
from itertools import batched
from typing import Any

from sqlalchemy import ARRAY, Connection, Executable, LargeBinary, Select, any_, bindparam, delete, func, select, true

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.records.body_text import Side, pieces
from moonpalace_addons.store.records.insertion import insert_into, insert_many
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import EXCHANGES, PARTS, UNUSED_PARTS
from moonpalace_addons.store.write.body_parts import is_utf8
from moonpalace_addons.store.write.resent import Piece, PieceCache

NONE: Values = {"request_parts": None, "response_parts": None}
"""The columns of a call without bodies."""

BATCH_SIZE = 500
"""Hashes or ids per statement, which databases limit."""

RECENT = PieceCache()
"""Recently cut bodies, shared by all stores: it does not depend on what is stored."""

ADDED = (PARTS.c.hash, PARTS.c.is_text, PARTS.c.data)

NOTED = select(PARTS.c.id, PARTS.c.hash, UNUSED_PARTS.c.token).outerjoin(UNUSED_PARTS, UNUSED_PARTS.c.id == PARTS.c.id)

# On PostgreSQL one array replaces many values, because the driver parses statements in Python, which is slow.
FOUND_IN_ARRAY = NOTED.where(PARTS.c.hash == any_(bindparam("hashes", type_=ARRAY(LargeBinary))))
ARRAYS = [bindparam(f"{column.name}s", type_=ARRAY(column.type)) for column in ADDED]
GIVEN = func.unnest(*ARRAYS).table_valued(*(column.name for column in ADDED)).render_derived(name="given")

LAST = select(func.coalesce(func.max(PARTS.c.id), 0))


@cache
def addition() -> Executable:
    """Return the statement that adds pieces to PostgreSQL."""
    rows = insert_into(PARTS, "postgresql").from_select([column.name for column in ADDED], select(GIVEN))
    return rows.on_conflict_do_nothing(index_elements=[PARTS.c.hash]).returning(PARTS.c.hash, PARTS.c.id)


def as_column(ids: Iterable[int]) -> str:
    """Return the column value of a body with these pieces."""
    return f"[{','.join([str(part_id) for part_id in ids])}]"


def keep_pieces(connection: Connection, cuts: Sequence[Sequence[Piece]]) -> list[list[int]]:
    """Store missing pieces; return the ids of all in the same order."""
    if not cuts:
        return []
    data = {key: piece for body in cuts for key, piece in body}  # `update` takes twice as long
    ids = find(connection, data)
    missing = {key: piece for key, piece in data.items() if key not in ids}
    if missing:
        ids |= (add_numbered if connection.dialect.name == "sqlite" else add)(connection, missing)
    return [[ids[key] for key, _ in body] for body in cuts]


def find(connection: Connection, hashes: Iterable[bytes]) -> dict[bytes, int]:
    """Return the ids of existing pieces, and remove their notes as unused."""
    ids, noted = dict[bytes, int](), list[int]()
    for some in batched(hashes, BATCH_SIZE):
        for part_id, key, token in look_up(connection, padded(some)):
            ids[key] = part_id
            if token is not None:
                noted.append(part_id)
    for batch in batched(noted, BATCH_SIZE):
        connection.execute(delete(UNUSED_PARTS).where(UNUSED_PARTS.c.id.in_(batch)))
    return ids


def look_up(connection: Connection, hashes: list[bytes]) -> Iterable[Sequence[Any]]:
    """Return the rows of `NOTED` with one of these hashes."""
    if connection.dialect.name == "sqlite":
        return connection.exec_driver_sql(found_among(len(hashes)), tuple(hashes)).all()  # faster than row by row
    return connection.execute(FOUND_IN_ARRAY, {"hashes": hashes})


@cache
def found_among(count: int) -> str:
    """Return SQLite's query for so many hashes, which SQLAlchemy would write anew for each list."""
    return f"{NOTED} WHERE {PARTS.c.hash} IN ({', '.join('?' * count)})"


def padded(hashes: Sequence[bytes]) -> list[bytes]:
    """Return hashes padded with the last one to a power of two, which limits the number of cached statements."""
    return [*hashes, *[hashes[-1]] * ((1 << (len(hashes) - 1).bit_length()) - len(hashes))]


def add_numbered(connection: Connection, data: Mapping[bytes, Buffer]) -> dict[bytes, int]:
    """Add pieces in a transaction that excludes other writers, so that ids need not be queried."""
    first = connection.execute(LAST).scalar_one() + 1
    ids = {key: first + number for number, key in enumerate(data)}
    rows = [(ids[key], *row(key, piece)) for key, piece in data.items()]
    insert_many(connection, PARTS, ("id", *(column.name for column in ADDED)), rows)
    return ids


def add(connection: Connection, data: Mapping[bytes, Buffer]) -> dict[bytes, int]:
    """Add pieces that others may be adding too, in the order of their hashes to avoid deadlocks."""
    columns = zip(*(row(key, bytes(data[key])) for key in sorted(data)), strict=True)
    given = {array.key: list(column) for array, column in zip(ARRAYS, columns, strict=True)}
    returned = connection.execute(addition(), given)
    ids: dict[bytes, int] = {added.hash: added.id for added in returned}
    return ids | find(connection, data.keys() - ids.keys())


def row(key: bytes, piece: Buffer) -> tuple[bytes, bool, Buffer]:
    """Return the values of `ADDED` for a piece."""
    return key, is_text(bytes(piece)), piece


def joined(connection: Connection, exchange_id: int, side: Side) -> bytes | None:
    """Return a body, None if the call has none; raises StoreError if a piece of it is missing."""
    pieces = connection.execute(pieces_of(side, connection.dialect.name), {"owner": exchange_id}).scalars().all()
    if None in pieces:
        raise StoreError(f"the store is damaged: a piece of the {side} body of call {exchange_id} is missing")
    return b"".join(pieces) if pieces else None


@cache
def pieces_of(side: Side, dialect_name: str) -> Select[bytes]:
    """Return the query for the pieces of one body of the call `owner`; cached, because building it is slow."""
    listed = pieces(side, dialect_name)
    source = EXCHANGES.join(listed.source, true()).outerjoin(PARTS, PARTS.c.id == listed.part_id)
    query = select(PARTS.c.data).select_from(source).where(EXCHANGES.c.id == bindparam("owner"))
    return query.order_by(listed.position)


def is_text(data: bytes) -> bool:
    """Return whether both databases can show these bytes as text."""
    return 0 not in data and is_utf8(data)  # by its number a byte is found ten times faster
