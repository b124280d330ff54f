"""The bodies and streams of calls."""

import json
import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from operator import itemgetter, sub

import msgspec
import zstandard
from sqlalchemy import Connection, Engine, Table, bindparam, delete, insert, select, update

from moonpalace_addons.store.records import parts
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import EVENT_STREAMS, EXCHANGES, SEGMENTS

OWNED = EVENT_STREAMS.c.exchange_id == bindparam("owner")
STREAM_DATA, STREAM_CHUNKS = (select(column).where(OWNED) for column in (EVENT_STREAMS.c.data, EVENT_STREAMS.c.chunks))


class Compressor(threading.local):
    """Compress with zstd. Making a compressor takes longer than compressing a short stream, so each thread has one."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor().compress


COMPRESSOR = Compressor()


@dataclass(frozen=True, slots=True)
class Bodies:
    """The decoded bodies of a call.

    For a stream, `event_stream` is the stream as received and `response` the merged completion, or the same bytes if it
    cannot be merged. For a call in flight, `event_stream` is the part of its answer stored so far, stream or not.
    """

    request: bytes | None
    response: bytes | None
    event_stream: bytes | None


def bodies(engine: Engine, exchange_id: int) -> Bodies:
    """Return the bodies of a call; of a call in flight, the part stored so far."""
    with engine.connect() as connection:
        request = parts.joined(connection, exchange_id, "request")
        response = parts.joined(connection, exchange_id, "response")
        stream = connection.execute(STREAM_DATA, {"owner": exchange_id}).scalar()
        events = zstandard.decompress(stream) if stream is not None else None
        if events is None and response is None:
            body, _ = received_so_far(connection, exchange_id)
            events = body or None
        return Bodies(request, response, events)


def request_body(engine: Engine, exchange_id: int) -> bytes | None:
    """Return the body of a call's request."""
    with engine.connect() as connection:
        return parts.joined(connection, exchange_id, "request")


def event_times(engine: Engine, exchange_id: int) -> list[tuple[int, int]]:
    """Return (offset after the chunk, nanoseconds since the request began) for each chunk of a stored stream."""
    with engine.connect() as connection:
        data = connection.execute(STREAM_CHUNKS, {"owner": exchange_id}).scalar()
    return unpacked(data) if data is not None else []


def insert_rows(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Insert rows of streams or segments."""
    if rows:
        connection.execute(insert(table), rows)


def delete_segments(connection: Connection, exchange_ids: Sequence[int]) -> None:
    """Delete the segments of answers in flight, for calls that have ended."""
    delete_for(connection, SEGMENTS, exchange_ids)


def delete_answers(connection: Connection, exchange_ids: Sequence[int]) -> None:
    """Delete the answers of calls."""
    delete_for(connection, EVENT_STREAMS, exchange_ids)
    if exchange_ids:
        # Pieces without other users are left to the clean-up.
        statement = update(EXCHANGES).where(EXCHANGES.c.id == bindparam("owner")).values(response_parts=None)
        connection.execute(statement, [{"owner": exchange_id} for exchange_id in exchange_ids])


def delete_for(connection: Connection, table: Table, exchange_ids: Sequence[int]) -> None:
    """Delete the rows of `table` that belong to these calls."""
    if exchange_ids:
        # One execution per id, because databases limit the number of values in a list.
        statement = delete(table).where(table.c.exchange_id == bindparam("owner"))
        connection.execute(statement, [{"owner": exchange_id} for exchange_id in exchange_ids])


def stream_row(exchange_id: int, data: bytes, chunks: Sequence[tuple[int, int]], texts: str | None = None) -> Values:
    """Return a row of `event_streams`; `chunks` are (offset after the chunk, ns since the request began)."""
    return {"exchange_id": exchange_id, "data": COMPRESSOR.compress(data), "chunks": packed(chunks), "texts": texts}


def packed(chunks: Sequence[tuple[int, int]]) -> bytes:
    """Return the chunks of a stream as compressed differences, which take half the space of sums."""
    # Arrays, as a list of numbers takes five times the memory; only one of them is a list at a time.
    sums = (array("q", map(itemgetter(column), chunks)) for column in (0, 1))
    steps = [array("q", map(sub, each, chain((0,), each))) for each in sums]
    return COMPRESSOR.compress(msgspec.json.encode(steps, enc_hook=list))


def unpacked(data: bytes) -> list[tuple[int, int]]:
    """Return the chunks packed by `packed`."""
    lengths, pauses = json.loads(zstandard.decompress(data))
    return list(zip(accumulate(lengths), accumulate(pauses), strict=True))


def segment_row(exchange_id: int, sequence: int, data: bytes, chunks: Sequence[tuple[int, int]]) -> Values:
    """Return a row of `response_segments`; `chunks` as in a stream."""
    return {"exchange_id": exchange_id, "sequence": sequence, "data": data, "chunks": json.dumps([*chunks])}


def received_so_far(connection: Connection, exchange_id: int) -> tuple[bytes, list[tuple[int, int]]]:
    """Return the bytes and chunks in the segments of an answer in flight."""
    query = select(SEGMENTS.c.data, SEGMENTS.c.chunks).where(SEGMENTS.c.exchange_id == exchange_id)
    data, chunks = b"", list[tuple[int, int]]()
    for piece, times in connection.execute(query.order_by(SEGMENTS.c.sequence)):
        data += piece
        chunks += [(offset, at) for offset, at in json.loads(times)]
    return data, chunks
