"""The rows of the word index, one per block of 64 consecutive ids."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    select,
    true,
)

from moonpalace_addons.store.records.body_scan import searched_text
from moonpalace_addons.store.records.body_text import SIDES
from moonpalace_addons.store.records.id_lists import among
from moonpalace_addons.store.schema import EXCHANGES, SEARCH_BLOCKS
from moonpalace_addons.wire.word_filter import MAX_BODY_LENGTH, SEEDS, BitPositions, may_contain

SHIFT = 6
BLOCK_SIZE = 1 << SHIFT
"""Calls per block: larger blocks make a smaller index, but more calls are read for each match."""


@dataclass(frozen=True, slots=True)
class Call:
    """The columns of a call that determine what is searched; `size` is the approximate size of its bodies."""

    id: int
    state: str
    request_parts: str | None
    response_parts: str | None
    size: int


def first_id(block: int) -> int:
    """Return the first id of a block."""
    return block << SHIFT


def block_of_call() -> ColumnElement[int]:
    """Return the expression for the block of a call."""
    return EXCHANGES.c.id.op(">>", return_type=BigInteger())(literal(SHIFT, Integer()))


def open_block(connection: Connection) -> int:
    """Return the block of the next call; earlier blocks get no new calls, except from uncommitted transactions."""
    newest: int | None = connection.execute(select(func.max(EXCHANGES.c.id))).scalar()
    return 0 if newest is None else (newest + 1) >> SHIFT


def missing(connection: Connection, first: int, end: int) -> list[int]:
    """Return the blocks from `first` up to `end` (exclusive) that have calls and are not indexed, newest first."""
    query = select(block_of_call()).where(EXCHANGES.c.id >= first_id(first), EXCHANGES.c.id < first_id(end)).distinct()
    indexed = set(connection.execute(select(SEARCH_BLOCKS.c.block).where(SEARCH_BLOCKS.c.block >= first)).scalars())
    return sorted(set(connection.execute(query).scalars()) - indexed, reverse=True)


def calls_of(connection: Connection, block: int) -> list[Call]:
    """Return the calls of a block."""
    unknown = case((EXCHANGES.c.response_parts.is_not(None), MAX_BODY_LENGTH + 1), else_=0)
    size = EXCHANGES.c.request_bytes + func.coalesce(EXCHANGES.c.response_bytes, unknown)
    columns = (EXCHANGES.c.id, EXCHANGES.c.state, EXCHANGES.c.request_parts, EXCHANGES.c.response_parts, size)
    within = EXCHANGES.c.id.between(first_id(block), first_id(block + 1) - 1)
    return [Call(*row) for row in connection.execute(select(*columns).where(within).order_by(EXCHANGES.c.id))]


def bodies(connection: Connection, calls: Sequence[int]) -> list[str]:
    """Return the searched texts of these calls."""
    name = connection.dialect.name
    columns = [searched_text(side, name) for side in SIDES]
    rows = connection.execute(select(*columns).select_from(EXCHANGES).where(EXCHANGES.c.id.in_(calls)))
    return [body for row in rows for body in row if body is not None]


def put(connection: Connection, block: int, words: bytes) -> None:
    """Store the words of a block, replacing its row. Needs an exclusive transaction."""
    connection.execute(delete(SEARCH_BLOCKS).where(SEARCH_BLOCKS.c.block == block))
    connection.execute(insert(SEARCH_BLOCKS), {"block": block, "words": words})


def without(connection: Connection, positions: Sequence[BitPositions]) -> list[int]:
    """Return the indexed blocks without a call that has all the tokens with bits at these places."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(select(SEARCH_BLOCKS.c.block, SEARCH_BLOCKS.c.words))
        return [block for block, words in rows if not may_contain(words, block, positions)]
    bits = (bit_is_set(each, number) for each in positions for number in range(each.count))
    return list(connection.execute(select(SEARCH_BLOCKS.c.block).where(not_(and_(true(), *bits)))).scalars())


def bit_is_set(places: BitPositions, number: int) -> ColumnElement[bool]:
    """Return the condition that the bit at one of these places is set in a filter, on PostgreSQL."""
    size = cast(func.length(SEARCH_BLOCKS.c.words), BigInteger) * 8
    steps = func.mod(SEARCH_BLOCKS.c.block, SEEDS) + number
    place = literal(places.first, BigInteger) + steps * literal(places.step, BigInteger)
    return func.get_bit(SEARCH_BLOCKS.c.words, cast(func.mod(place, size), Integer)) == 1


def knows_letters(connection: Connection) -> bool:
    """Return whether PostgreSQL recognizes non-ASCII letters, which depends on the database's locale."""
    return connection.execute(select(literal("é").regexp_match("^[[:alnum:]]$"))).scalar_one()


def empty(connection: Connection) -> list[int]:
    """Return the indexed blocks without calls."""
    first = SEARCH_BLOCKS.c.block * BLOCK_SIZE
    has_calls = exists().where(EXCHANGES.c.id.between(first, first + (BLOCK_SIZE - 1)))
    return list(connection.execute(select(SEARCH_BLOCKS.c.block).where(~has_calls)).scalars())


def forget(connection: Connection, blocks: Sequence[int]) -> int:
    """Delete blocks from the index; return their number."""
    connection.execute(delete(SEARCH_BLOCKS).where(among(SEARCH_BLOCKS.c.block, blocks, connection.dialect.name)))
    return len(blocks)
