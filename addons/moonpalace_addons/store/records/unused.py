"""The pieces of bodies and headers that no call has any more: how they are found, and deleted while others write.

Whoever takes a piece from a call notes it in `unused_parts`, with a new token, while nobody else writes; whoever uses a
piece again takes it out there. So a piece whose note is older than a look at all calls, and the same after it, and that
no call had in that look, is nobody's, and will be until its note goes. A clean-up that is interrupted leaves notes and
pieces without a use, which the next one finds.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    Select,
    delete,
    except_,
    literal,
    select,
    true,
    union,
)
from sqlalchemy.dialects import postgresql, sqlite

from moonpalace_addons.store.records.body_text import SIDES, pieces
from moonpalace_addons.store.schema import EXCHANGES, PARTS, UNUSED_PARTS

HEADERS = (EXCHANGES.c.request_headers_part, EXCHANGES.c.response_headers_part)


@dataclass(frozen=True, slots=True)
class Notes:
    """What a look at all calls found; the values are the tokens of the notes.

    `unused` are pieces of no call, `used` those that were noted and are some call's, `new` those of no call that nobody
    had noted: they cannot be deleted before they are, and another look after that.
    """

    unused: dict[int, int]
    used: dict[int, int]
    new: list[int]


def look(engine: Engine) -> Notes:
    """Look for pieces that no call has; takes about a second for 100,000 calls, and holds no lock."""
    with engine.connect() as connection:
        # In this order: a note that is read was there before the calls are looked at.
        tokens = {row.id: row.token for row in connection.execute(select(UNUSED_PARTS))}
        query = except_(select(PARTS.c.id), *used_ids(connection.dialect.name))
        free = set(connection.execute(query).scalars())
    unused = {part: token for part, token in tokens.items() if part in free}
    used = {part: token for part, token in tokens.items() if part not in free}
    return Notes(unused, used, [part for part in free if part not in tokens])


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
    put_notes(connection, select(PARTS.c.id).where(PARTS.c.id.in_(parts)))
    return len(parts)


def note_those_of(connection: Connection, calls: Sequence[int]) -> None:
    """Note all pieces of these calls, which are about to lose them, in a transaction alone."""
    queries = [query.where(EXCHANGES.c.id.in_(calls)) for query in used_ids(connection.dialect.name)]
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


def forget(connection: Connection, notes: Sequence[tuple[int, int]]) -> int:
    """Take out those of these notes that are still the same; return how many, in a transaction alone."""
    same = unchanged(connection, notes)
    connection.execute(delete(UNUSED_PARTS).where(UNUSED_PARTS.c.id.in_(same)))
    return len(same)


def delete_pieces(connection: Connection, notes: Sequence[tuple[int, int]]) -> int:
    """Delete the pieces whose notes are still the same, and the notes; return how many, in a transaction alone."""
    same = unchanged(connection, notes)
    connection.execute(delete(PARTS).where(PARTS.c.id.in_(same)))
    connection.execute(delete(UNUSED_PARTS).where(UNUSED_PARTS.c.id.in_(same)))
    return len(same)


def unchanged(connection: Connection, notes: Sequence[tuple[int, int]]) -> list[int]:
    """Return the pieces whose notes are still the same."""
    tokens = dict(notes)
    query = select(UNUSED_PARTS).where(UNUSED_PARTS.c.id.in_(list(tokens)))
    return [row.id for row in connection.execute(query) if tokens[row.id] == row.token]
