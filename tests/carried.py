"""Store bodies, streams and segments for rows that tests have written themselves."""

from collections.abc import Sequence

from sqlalchemy import Connection, update

from moonpalace_addons.store.records import contents, parts
from moonpalace_addons.store.schema import EVENT_STREAMS, EXCHANGES, SEGMENTS

type Times = Sequence[tuple[int, int]]


def keep_bodies(connection: Connection, bodies: Sequence[bytes]) -> list[str]:
    """Store the missing pieces of bodies; return the column value for each body."""
    return [
        parts.as_column(ids) for ids in parts.keep_pieces(connection, [parts.RECENT.pieces(body) for body in bodies])
    ]


def carry(
    connection: Connection,
    row_id: int,
    *,
    request: bytes | None = None,
    response: bytes | None = None,
    stream: bytes | None = None,
    chunks: Times = (),
    segments: Sequence[tuple[int, bytes, Times]] = (),
) -> None:
    """Store bodies, a stream with its chunks, and segments (number, bytes, chunks) of an existing row."""
    for side, body in (("request", request), ("response", response)):
        if body is not None:
            (listed,) = keep_bodies(connection, [body])
            statement = update(EXCHANGES).where(EXCHANGES.c.id == row_id)
            connection.execute(statement.values({f"{side}_parts": listed}))
    streams = [contents.stream_row(row_id, stream, chunks)] if stream is not None else []
    contents.insert_rows(connection, EVENT_STREAMS, streams)
    contents.insert_rows(connection, SEGMENTS, [contents.segment_row(row_id, *segment) for segment in segments])
