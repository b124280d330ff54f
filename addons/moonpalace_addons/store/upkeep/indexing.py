"""Index the words of calls, one block at a time, in steps of about a millisecond."""

from collections.abc import Generator, Iterator, Sequence

from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.state import State
from moonpalace_addons.store.upkeep import search_blocks
from moonpalace_addons.store.upkeep.search_blocks import Call
from moonpalace_addons.wire.word_filter import MAX_BODY_LENGTH, FilterBuilder

READ_SIZE = 100_000
"""Bytes of bodies read at once; a single call may have more."""

MAX_CATCH_UP_BLOCKS = 32
"""Blocks that `catch_up` indexes: 2,000 calls of some KB take two seconds."""


def index(engine: Engine, block: int) -> Generator[None, None, bool]:
    """Index a block; return False if a call of it is in flight, has changed, or may still be added.

    The words are gathered while others write. The block is then stored in an exclusive transaction, only if its calls
    are unchanged; on PostgreSQL, too, no call with a lower id can appear after that.
    """
    with engine.connect() as connection:
        calls = search_blocks.calls_of(connection, block)
    if not calls or any(call.state == State.IN_FLIGHT for call in calls):
        return False
    # The database takes several times the size of a body for its text, in the process that also writes.
    builder = FilterBuilder(block, is_full=any(call.size > MAX_BODY_LENGTH for call in calls))
    for some in portions(calls):
        if builder.is_full:
            break
        with engine.connect() as connection:
            bodies = search_blocks.bodies(connection, some)
        for body in bodies:
            yield from builder.add(body)
        yield
    words = yield from builder.build()
    with writing(engine, alone=True) as connection:
        is_settled = block < search_blocks.open_block(connection)
        if not is_settled or search_blocks.calls_of(connection, block) != calls:
            return False
        search_blocks.put(connection, block, words)
    return True


def portions(calls: Sequence[Call]) -> Iterator[list[int]]:
    """Yield lists of the ids of calls to be read together."""
    portion, total = list[int](), 0
    for call in calls:
        if portion and total + call.size > READ_SIZE:
            yield portion
            portion, total = [], 0
        portion.append(call.id)
        total += call.size
    if portion:
        yield portion


def catch_up(engine: Engine) -> None:
    """Index missing blocks if that takes a few seconds at most; more are left to the proxy."""
    with engine.connect() as connection:
        blocks = search_blocks.missing(connection, 0, search_blocks.open_block(connection))
    for block in blocks if len(blocks) <= MAX_CATCH_UP_BLOCKS else ():
        for _ in index(engine, block):
            pass
