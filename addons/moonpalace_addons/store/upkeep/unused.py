"""Find pieces that no call uses any more, and delete them while others write.

Deleting a call notes its pieces in `unused_parts` with the token of that exclusive transaction; using a piece again
removes its note. A piece is therefore unused if its note existed before a scan of all calls, is unchanged after it, and
the scan found no call with the piece; it stays unused until its note is removed. An interrupted clean-up leaves notes
and unused pieces, which the next one finds.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    Select,
    and_,
    delete,
    except_,
    literal,
    select,
    true,
    union,
    union_all,
)

from moonpalace_addons.store.records.body_text import SIDES, pieces
from moonpalace_addons.store.records.id_lists import among
from moonpalace_addons.store.records.insertion import insert_into
from moonpalace_addons.store.schema import EXCHANGES, PARTS, UNUSED_PARTS

HEADERS = (EXCHANGES.c.request_headers_part, EXCHANGES.c.response_headers_part)


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The result of a scan of all calls.

    `unused` are noted pieces without a call, `used` noted pieces with a call, `new` pieces without a call that are not
    noted: they have to be noted and scanned again before they can be deleted. A note whose token is not in `tokens` was
    written after the scan.
    """

    unused: list[int]
    used: list[int]
    new: list[int]
    tokens: frozenset[int]


def scan(engine: Engine) -> ScanResult:
    """Find the pieces that no call uses; takes about a second for 100,000 calls and holds no lock."""
    with engine.connect() as connection:
        # In this order, so that every note with one of the tokens is older than the scan of the calls.
        tokens = frozenset(connection.execute(select(UNUSED_PARTS.c.token).distinct()).scalars())
        noted = set(connection.execute(select(UNUSED_PARTS.c.id)).scalars().all())
        free = set(connection.execute(free_ids(connection.dialect.name)).scalars().all())
    # Ordered by id for sequential access to pages.
    return ScanResult(sorted(free & noted), sorted(noted - free), sorted(free - noted), tokens)


def free_ids(dialect_name: str) -> Executable:
    """Return the query for the ids of the pieces that no call uses."""
    used = used_ids(dialect_name)
    if dialect_name == "sqlite":  # two thirds of EXCEPT's time there; endless on PostgreSQL
        return select(PARTS.c.id).where(PARTS.c.id.not_in(union_all(*used)))
    return except_(select(PARTS.c.id), *used)


def used_ids(dialect_name: str) -> list[Select[int]]:
    """Return the queries for the ids of all pieces that calls use: bodies of each side, and headers."""
    listed = [pieces(side, dialect_name) for side in SIDES]
    bodies = [select(each.part_id.label("id")).select_from(EXCHANGES.join(each.source, true())) for each in listed]
    return [*bodies, *(select(column.label("id")).where(column.is_not(None)) for column in HEADERS)]


def any_noted(engine: Engine) -> bool:
    """Return whether any piece is noted, as after an interrupted clean-up."""
    with engine.connect() as connection:
        return connection.execute(select(UNUSED_PARTS.c.id).limit(1)).first() is not None


def note(connection: Connection, parts: Sequence[int]) -> int:
    """Note these pieces; return their number. Needs an exclusive transaction."""
    put_notes(connection, select(PARTS.c.id).where(among(PARTS.c.id, parts, connection.dialect.name)))
    return len(parts)


def note_those_of(connection: Connection, calls: Sequence[int]) -> None:
    """Note all pieces of calls that are about to be deleted. Needs an exclusive transaction."""
    dialect_name = connection.dialect.name
    queries = [query.where(among(EXCHANGES.c.id, calls, dialect_name)) for query in used_ids(dialect_name)]
    ids = union(*queries).subquery()  # distinct: PostgreSQL cannot update a row twice in one statement
    put_notes(connection, select(ids.c.id))


def put_notes(connection: Connection, ids: Select[int]) -> None:
    """Insert or replace notes with a new token."""
    # SQLite needs a WHERE before ON CONFLICT.
    rows = ids.add_columns(literal(secrets.randbits(62), BigInteger)).where(true())
    statement = insert_into(UNUSED_PARTS, connection.dialect.name).from_select(["id", "token"], rows)
    set_token = {"token": statement.excluded.token}
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=set_token))


def forget(connection: Connection, parts: Sequence[int], tokens: Collection[int]) -> int:
    """Remove the notes of these pieces with these tokens; return their number. Needs an exclusive transaction."""
    return connection.execute(delete(UNUSED_PARTS).where(noted(connection, parts, tokens))).rowcount


def delete_pieces(connection: Connection, parts: Sequence[int], tokens: Collection[int]) -> int:
    """Delete the pieces whose notes have these tokens; return their number. Needs an exclusive transaction."""
    matching = select(UNUSED_PARTS.c.id).where(noted(connection, parts, tokens))
    connection.execute(delete(PARTS).where(PARTS.c.id.in_(matching)))
    return forget(connection, parts, tokens)


def noted(connection: Connection, parts: Sequence[int], tokens: Collection[int]) -> ColumnElement[bool]:
    """Return the condition for the notes of these pieces with these tokens."""
    name = connection.dialect.name
    return and_(among(UNUSED_PARTS.c.id, parts, name), among(UNUSED_PARTS.c.token, tokens, name))
