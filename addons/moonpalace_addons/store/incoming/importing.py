"""Take calls from another store into this one, each once, however often it is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import batched

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.incoming import transfer_rows
from moonpalace_addons.store.incoming.sources import Source
from moonpalace_addons.store.incoming.transfer import BATCH_ROWS, Call, batches, insert_calls
from moonpalace_addons.store.upkeep.indexing import catch_up

TRIES = 5
"""How often a batch is tried again because somebody else has just taken in a call of it."""

type Progress = Callable[[int], None]
"""Called with how many more calls have been looked at."""


@dataclass(slots=True)
class Counts:
    """What became of the calls of a source: taken in, here before, left out since they are under way."""

    imported: int = 0
    present: int = 0
    left_out: int = 0


def import_calls(
    source: Source, engine: Engine, *, dry_run: bool = False, progress: Progress = lambda _: None
) -> Counts:
    """Take in the calls that the store does not have, under new numbers; with `dry_run` only count them.

    Every batch is a transaction of its own: what is interrupted goes on when it is called again.
    """
    counts = Counts()
    for some in batched(source.keys(), BATCH_ROWS):
        with engine.connect() as connection:
            here = transfer_rows.known(connection, [uuid for _, uuid in some])
        wanted = [number for number, uuid in some if uuid not in here]
        counts.present += len(here)
        counts.left_out += len(wanted)
        for batch in batches(call for number in wanted if (call := source.load(number)) is not None):
            stored = len(batch) if dry_run else store(engine, batch)
            counts.imported += stored
            counts.present += len(batch) - stored
            counts.left_out -= len(batch)
        progress(len(some))
    if counts.imported and not dry_run:
        catch_up(engine)
    return counts


def store(engine: Engine, batch: Sequence[Call]) -> int:
    """Store a batch in one transaction; return how many of it were missing."""
    for attempt in range(TRIES):
        try:
            with writing(engine) as connection:
                here = transfer_rows.known(connection, [call.uuid for call in batch])
                missing = [call for call in batch if call.uuid not in here]
                if missing:
                    insert_calls(connection, missing)
                return len(missing)
        except IntegrityError:
            if attempt + 1 == TRIES:
                raise
    raise AssertionError("the last try returns or raises")
