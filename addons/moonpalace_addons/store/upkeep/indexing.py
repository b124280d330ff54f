"""Put the words of calls into the index, a block of calls at a time, in steps of about a millisecond."""

from collections.abc import Generator, Iterator, Sequence

from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.state import State
from moonpalace_addons.store.upkeep import search_blocks
from moonpalace_addons.store.upkeep.search_blocks import Call
from moonpalace_addons.wire.word_filter import FilterBuilder

TOGETHER = 100_000
"""Bytes of bodies that are read at once, beside one call that has more."""

FEW = 32
"""Blocks: 2,000 calls of some KB take two seconds."""


def index(engine: Engine, block: int) -> Generator[None, None, bool]:
    """Index a block; return False if that cannot be done yet: a call of it is under way, has changed, or may come.

    The words are gathered while others write; what says that they are all is a look, with nobody else writing, at the
    same calls. On PostgreSQL, too, no call can then come any more whose id is less than one that is there.
    """
    with engine.connect() as connection:
        calls = search_blocks.calls_of(connection, block)
    if not calls or any(call.state == State.IN_FLIGHT for call in calls):
        return False
    builder = FilterBuilder(block)
    for some in portions(calls):
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
    """Give the ids of calls in lists of those that are to be read together."""
    portion, total = list[int](), 0
    for call in calls:
        if portion and total + call.size > TOGETHER:
            yield portion
            portion, total = [], 0
        portion.append(call.id)
        total += call.size
    if portion:
        yield portion


def catch_up(engine: Engine) -> None:
    """Index what is not yet indexed, if that takes a few seconds at most: more is left to the proxy."""
    with engine.connect() as connection:
        blocks = search_blocks.missing(connection, 0, search_blocks.open_block(connection))
    for block in blocks if len(blocks) <= FEW else ():
        for _ in index(engine, block):
            pass
