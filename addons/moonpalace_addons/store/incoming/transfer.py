"""Transfer whole calls from one store to another."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from moonpalace_addons.store.incoming import transfer_rows
from moonpalace_addons.store.records import explanations
from moonpalace_addons.store.records.explanations import Explanation
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.write.units import Unit, write

MAX_BATCH_ROWS = 200
MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Limits of a batch in memory; a single larger call is a batch of its own."""


@dataclass(slots=True)
class Transferred(Unit):
    """A call that is over, with its run, tags and explanations.

    `columns` are those of its row, with its `id` in the old store.
    """

    run: Values = field(default_factory=dict, repr=False)
    tags: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()


def batches(calls: Iterable[Transferred]) -> Iterator[list[Transferred]]:
    """Yield the calls in batches of limited size."""
    batch, size = list[Transferred](), 0
    for call in calls:
        batch.append(call)
        size += call.weight
        if len(batch) >= MAX_BATCH_ROWS or size >= MAX_BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def insert_calls(connection: Connection, calls: Sequence[Transferred], *, keep_ids: bool = False) -> None:
    """Insert calls that the store does not have, under new ids or, with `keep_ids`, under their old ones."""
    transfer_rows.insert_missing_runs(connection, [call.run for call in calls])
    for call in calls if not keep_ids else ():
        call.columns = {name: value for name, value in call.columns.items() if name != "id"}
    ids = write(connection, calls)
    transfer_rows.insert_tags(connection, [(ids[call.uuid], tag) for call in calls for tag in call.tags])
    for call in calls:
        for explanation in call.explanations:
            explanations.keep(connection, [ids[call.uuid]], explanation)
