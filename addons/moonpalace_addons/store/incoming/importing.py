"""Import calls from another store; repeated imports add nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import batched

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.incoming import transfer_rows
from moonpalace_addons.store.incoming.sources import Source
from moonpalace_addons.store.incoming.transfer import MAX_BATCH_ROWS, Transferred, batches, insert_calls
from moonpalace_addons.store.upkeep.indexing import catch_up

MAX_ATTEMPTS = 5
"""Attempts to store a batch when another process imports the same calls at the same time."""

type Progress = Callable[[int], None]
"""Called with the number of calls processed since the last time."""


@dataclass(slots=True)
class Counts:
    """The numbers of calls imported, already present, and left out because they are in flight."""

    imported: int = 0
    present: int = 0
    left_out: int = 0


def import_calls(
    source: Source, engine: Engine, *, dry_run: bool = False, progress: Progress = lambda _: None
) -> Counts:
    """Import the calls that the store lacks, under new ids; with `dry_run` only count them.

    Every batch is a transaction of its own, so an interrupted import can be resumed by calling it again.
    """
    counts = Counts()
    for some in batched(source.keys(), MAX_BATCH_ROWS):
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


def store(engine: Engine, batch: Sequence[Transferred]) -> int:
    """Store the missing calls of a batch in one transaction; return their number."""
    for attempt in range(MAX_ATTEMPTS):
        try:
            with writing(engine) as connection:
                here = transfer_rows.known(connection, [call.uuid for call in batch])
                missing = [call for call in batch if call.uuid not in here]
                if missing:
                    insert_calls(connection, missing)
                return len(missing)
        except IntegrityError:
            if attempt + 1 == MAX_ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")
