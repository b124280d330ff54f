"""Read whole calls with their bodies and labels, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import batched
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange

BATCH_SIZE = 200
"""Calls whose rows are read at once; bodies are read one by one."""


@dataclass(frozen=True, slots=True)
class Call:
    """A stored call; `event_times` are nanoseconds since the request began, one for each event of its stream."""

    exchange: Exchange
    bodies: Bodies = field(repr=False)
    tags: tuple[str, ...] = ()
    event_times: tuple[int, ...] = ()


def read_calls(engine: Engine, ids: Sequence[int], *, timed: bool = False) -> Iterator[Call]:
    """Yield the calls in the order of their IDs; without `timed` they have no event times.

    Calls that were deleted in the meantime are skipped.
    """
    from moonpalace_addons.store.read import selection
    from moonpalace_addons.store.records import contents, labels

    for some in batched(ids, BATCH_SIZE):
        tags = labels.tags_of(engine, some)
        for exchange in selection.in_order(engine, some):
            bodies = contents.bodies(engine, exchange.id)
            has_times = timed and bodies.event_stream is not None
            times = event_times(bodies, contents.event_times(engine, exchange.id)) if has_times else ()
            yield Call(exchange, bodies, tags.get(exchange.id, ()), times)


def event_times(bodies: Bodies, chunks: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return the completion time of each event of a stream: the arrival of the chunk with its last byte."""
    if bodies.event_stream is None or not chunks:
        return ()
    from moonpalace_addons.wire.chat.event_data import event_ends
    from moonpalace_addons.wire.chat.timing import chunk_at

    offsets = [offset for offset, _ in chunks]
    return tuple(chunks[chunk_at(offsets, end)][1] for end in event_ends(bodies.event_stream))
