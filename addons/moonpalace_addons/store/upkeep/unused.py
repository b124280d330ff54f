"""The pieces of bodies and headers that no call has any more: how they are found, and deleted while others write.

Whoever takes a piece from a call notes it in `unused_parts`, with the token of that transaction, while nobody else
writes; whoever uses a piece again takes it out there. So a piece whose note is older than a look at all calls, and the
same after it, and that no call had in that look, is nobody's, and will be until its note goes. A clean-up that is
interrupted leaves notes and pieces without a use, which the next one finds.
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
from sqlalchemy.dialects import postgresql, sqlite

from moonpalace_addons.store.records.body_text import SIDES, pieces
from moonpalace_addons.store.records.id_lists import among
from moonpalace_addons.store.schema import EXCHANGES, PARTS, UNUSED_PARTS

HEADERS = (EXCHANGES.c.request_headers_part, EXCHANGES.c.response_headers_part)


@dataclass(frozen=True, slots=True)
class Notes:
    """What a look at all calls found.

    `unused` are pieces of no call, `used` those that were noted and are some call's, `new` those of no call that nobody
    had noted: they cannot be deleted before they are, and another look after that. A note whose token is not among
    `tokens` was written after the look.
    """

    unused: list[int]
    used: list[int]
    new: list[int]
    tokens: frozenset[int]


def look(engine: Engine) -> Notes:
    """Look for pieces that no call has; takes about a second for 100,000 calls, and holds no lock."""
    with engine.connect() as connection:
        # In this order: a note that is read was there before the calls are looked at.
        notes = connection.execute(select(UNUSED_PARTS.c.id, UNUSED_PARTS.c.token)).all()
        free = set(connection.execute(free_ids(connection.dialect.name)).scalars())
    noted = {part for part, _ in notes}
    tokens = frozenset(token for _, token in notes)
    # In the order of their ids, so that pages go one after the other.
    return Notes(sorted(free & noted), sorted(noted - free), sorted(free - noted), tokens)


def free_ids(dialect_name: str) -> Executable:
    """Return the query for the ids of the pieces that no call has."""
    used = used_ids(dialect_name)
    if dialect_name == "sqlite":  # two thirds of the time that EXCEPT takes there; PostgreSQL may never come to an end
        return select(PARTS.c.id).where(PARTS.c.id.not_in(union_all(*used)))
    return except_(select(PARTS.c.id), *used)


def used_ids(dialect_name: str) -> list[Select[int]]:
    """Return the queries for the ids of all pieces that calls have: of each side, and headers."""
    listed = [pieces(side, dialect_name) for side in SIDES]
    bodies = [select(each.part_id.label("id")).select_from(EXCHANGES.join(each.source, true())) for each in listed]
    return [*bodies, *(select(column.label("id")).where(column.is_not(None)) for column in HEADERS)]


def any_noted(engine: Engine) -> bool:
    """Tell whether any piece is noted, as after a clean-up that was interrupted."""
    with engine.connect() as connection:
        return connection.execute(select(UNUSED_PARTS.c.id).limit(1)).first() is not None


def note(connection: Connection, parts: Sequence[int]) -> int:
    """Note these pieces; return how many, in a transaction alone."""
    put_notes(connection, select(PARTS.c.id).where(among(PARTS.c.id, parts, connection.dialect.name)))
    return len(parts)


def note_those_of(connection: Connection, calls: Sequence[int]) -> None:
    """Note all pieces of these calls, which are about to lose them, in a transaction alone."""
    dialect_name = connection.dialect.name
    queries = [query.where(among(EXCHANGES.c.id, calls, dialect_name)) for query in used_ids(dialect_name)]
    ids = union(*queries).subquery()  # each once: PostgreSQL does not update a row twice in one statement
    put_notes(connection, select(ids.c.id))


def put_notes(connection: Connection, ids: Select[int]) -> None:
    """Write notes with a new token, in the place of those that are there."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    # SQLite needs a WHERE before ON CONFLICT.
    rows = ids.add_columns(literal(secrets.randbits(62), BigInteger)).where(true())
    statement = dialect.insert(UNUSED_PARTS).from_select(["id", "token"], rows)
    set_token = {"token": statement.excluded.token}
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=set_token))


def forget(connection: Connection, parts: Sequence[int], tokens: Collection[int]) -> int:
    """Take out the notes of these pieces that have one of the tokens; return how many, in a transaction alone."""
    return connection.execute(delete(UNUSED_PARTS).where(noted(connection, parts, tokens))).rowcount


def delete_pieces(connection: Connection, parts: Sequence[int], tokens: Collection[int]) -> int:
    """Delete those of these pieces whose notes have one of the tokens, in a transaction alone; return how many."""
    found = select(UNUSED_PARTS.c.id).where(noted(connection, parts, tokens))
    connection.execute(delete(PARTS).where(PARTS.c.id.in_(found)))
    return forget(connection, parts, tokens)


def noted(connection: Connection, parts: Sequence[int], tokens: Collection[int]) -> ColumnElement[bool]:
    """Return the condition for the notes of these pieces that have one of the tokens."""
    name = connection.dialect.name
    return and_(among(UNUSED_PARTS.c.id, parts, name), among(UNUSED_PARTS.c.token, tokens, name))
