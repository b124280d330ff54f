"""Transfer whole calls from one store to another."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from moonpalace_addons.store.incoming import transfer_rows
from moonpalace_addons.store.records import contents, exchanges, parts, shared_pieces
from moonpalace_addons.store.records.body_text import Side
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.wire.chat import stream_texts

MAX_BATCH_ROWS = 200
MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Limits of a batch in memory; a single larger call is a batch of its own."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call with bodies, stream and tags; `columns` are those of its row, with its `id` in the old store."""

    columns: Values
    run: Values = field(repr=False)
    request: bytes | None = field(default=None, repr=False)
    response: bytes | None = field(default=None, repr=False)
    stream: bytes | None = field(default=None, repr=False)
    chunks: Sequence[tuple[int, int]] = field(default=(), repr=False)
    tags: tuple[str, ...] = ()

    @property
    def uuid(self) -> str:
        """Return the call's id across all stores."""
        return str(self.columns["uuid"])

    @property
    def size(self) -> int:
        """Return the total size of its bodies in bytes."""
        return sum(len(part) for part in (self.request, self.response, self.stream) if part is not None)


def batches(calls: Iterable[Call]) -> Iterator[list[Call]]:
    """Yield the calls in batches of limited size."""
    batch: list[Call] = []
    size = 0
    for call in calls:
        batch.append(call)
        size += call.size
        if len(batch) >= MAX_BATCH_ROWS or size >= MAX_BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def insert_calls(connection: Connection, calls: Sequence[Call], *, keep_ids: bool = False) -> None:
    """Insert calls that the store does not have, under new ids or, with `keep_ids`, under their old ones."""
    transfer_rows.insert_missing_runs(connection, [call.run for call in calls])
    bodies: list[tuple[str, Side, bytes]] = []
    for call in calls:
        if call.request is not None:
            bodies.append((call.uuid, "request", call.request))
        if call.response is not None:
            bodies.append((call.uuid, "response", call.response))
    kept = shared_pieces.keep(connection, {call.uuid: call.columns for call in calls}, bodies)
    rows = [call.columns | parts.NONE | kept[call.uuid] for call in calls]
    ids = exchanges.insert_exchanges(
        connection, [{name: value for name, value in row.items() if keep_ids or name != "id"} for row in rows]
    )
    streams = [
        contents.Stream(ids[call.uuid], call.stream, call.chunks, stream_texts.of_answer(call.stream, call.response))
        for call in calls
        if call.stream is not None
    ]
    contents.insert_contents(connection, [], streams)
    transfer_rows.insert_tags(connection, [(ids[call.uuid], tag) for call in calls for tag in call.tags])
