"""Carry whole calls from one store into another."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from moonpalace_addons.store.incoming import transfer_rows
from moonpalace_addons.store.records import contents, exchanges, parts, shared_pieces
from moonpalace_addons.store.records.body_text import Side
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.wire.chat import stream_texts

BATCH_ROWS = 200
BATCH_BYTES = 8 * 1024 * 1024
"""Bounds of what is in memory at once, beside one call that is larger by itself."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call with all that it carried; `columns` are those of its row, `id` being its number in its old store."""

    columns: Values
    run: Values = field(repr=False)
    request: bytes | None = field(default=None, repr=False)
    response: bytes | None = field(default=None, repr=False)
    stream: bytes | None = field(default=None, repr=False)
    chunks: Sequence[tuple[int, int]] = field(default=(), repr=False)
    tags: tuple[str, ...] = ()

    @property
    def uuid(self) -> str:
        """Return what tells the call from all others, in whatever store it is."""
        return str(self.columns["uuid"])

    @property
    def size(self) -> int:
        """Return the bytes that it carried."""
        return sum(len(part) for part in (self.request, self.response, self.stream) if part is not None)


def batches(calls: Iterable[Call]) -> Iterator[list[Call]]:
    """Give the calls in batches that fit into memory."""
    batch: list[Call] = []
    size = 0
    for call in calls:
        batch.append(call)
        size += call.size
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def insert_calls(connection: Connection, calls: Sequence[Call], *, keep_ids: bool = False) -> None:
    """Insert calls that the store does not have; with `keep_ids` under the numbers they had, else under new ones."""
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
