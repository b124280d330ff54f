"""The only SQL of the project: values in, values out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from datetime import UTC, datetime
from typing import cast

import zstandard
from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, Table, bindparam, delete, func, insert, select
from sqlalchemy import update as update_statement

from moonpalace_addons.store.engine import writing
from moonpalace_addons.store.schema import BODIES, EVENT_STREAMS, EXCHANGES, IDENTITY, RUNS, SEGMENTS
from moonpalace_addons.store.tasks import State

type Values = dict[str, object]

GREATEST = 2**63 - 1
"""The greatest integer that a database holds."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One stored call without its bodies. Durations are in nanoseconds, `server_timing` in milliseconds."""

    id: int
    uuid: str
    state: State
    started_at: datetime
    method: str
    endpoint: str
    path: str
    query: str
    request_headers: str
    request_content_type: str | None
    request_bytes: int
    client_request_id: str | None
    key_fingerprint: str | None
    changes: tuple[str, ...]
    status_code: int | None
    response_headers: str | None
    response_content_type: str | None
    response_bytes: int | None
    msh_request_id: str | None
    msh_uid: str | None
    msh_gid: str | None
    server_timing: int | None
    context_cache_id: str | None
    chatcmpl_id: str | None
    model_requested: str | None
    model_answered: str | None
    is_stream: bool
    is_coerced: bool
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    time_to_headers: int | None
    time_to_first_token: int | None
    time_to_first_visible_token: int | None
    time_per_output_token: int | None
    output_tokens_per_second: float | None
    longest_stall: int | None
    gap_p50: int | None
    gap_p90: int | None
    gap_p99: int | None
    latency: int | None
    overhead: int | None
    warnings: tuple[str, ...]
    error_kind: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class Bodies:
    """What a call carried, decoded.

    Of a stream, `event_stream` is what came and `response` the completion that it merges to, or the same bytes if it
    merges to none. Of a call under way, `event_stream` is what has been stored of its answer, whatever that is.
    """

    request: bytes | None
    response: bytes | None
    event_stream: bytes | None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A call that a dead proxy left, with what had been received of its answer."""

    exchange: Exchange
    request_body: bytes
    response_body: bytes
    chunks: list[tuple[int, int]]


NAMES = tuple(field.name for field in fields_of(Exchange))
COLUMNS = [EXCHANGES.c[name] for name in NAMES]


def to_exchange(row: RowMapping | Mapping[str, object]) -> Exchange:
    """Return the value for a row of the table, or for the values that are about to become one."""
    values = {name: row[name] for name in NAMES}
    values["state"] = State(str(values["state"]))
    values["started_at"] = datetime.fromtimestamp(cast(int, values["started_at"]) / 1e6, UTC)
    for name in ("changes", "warnings"):
        values[name] = tuple(json.loads(cast(str, values[name]))) if values[name] else ()
    return Exchange(**values)  # type: ignore[arg-type]


def latest(engine: Engine, *, limit: int, chat_only: bool = False) -> list[Exchange]:
    """Return at most `limit` calls, newest first; with `chat_only`, those to a `…/chat/completions`."""
    query = select(*COLUMNS).order_by(EXCHANGES.c.id.desc()).limit(min(limit, GREATEST))
    if chat_only:
        query = query.where(EXCHANGES.c.path.endswith("/chat/completions"))
    with engine.connect() as connection:
        return [to_exchange(row) for row in connection.execute(query).mappings()]


def find(
    engine: Engine,
    *,
    id: int | None = None,  # noqa: A002 - the name of the column
    chatcmpl: str | None = None,
    request_id: str | None = None,
) -> list[Exchange]:
    """Return the calls for which all given identifiers hold, newest first."""
    given = {EXCHANGES.c.id: id, EXCHANGES.c.chatcmpl_id: chatcmpl, EXCHANGES.c.msh_request_id: request_id}
    query = select(*COLUMNS).order_by(EXCHANGES.c.id.desc())
    for column, value in given.items():
        if value is not None:
            query = query.where(column == value)
    with engine.connect() as connection:
        try:
            return [to_exchange(row) for row in connection.execute(query).mappings()]
        except (OverflowError, UnicodeEncodeError):
            return []  # no column can hold such an integer or text


def bodies(engine: Engine, exchange_id: int) -> Bodies:
    """Return what the call carried; of one still under way, what has been stored so far."""
    with engine.connect() as connection:
        query = select(BODIES.c.side, BODIES.c.data).where(BODIES.c.exchange_id == exchange_id)
        sides = {row.side: row.data for row in connection.execute(query)}
        stream = connection.execute(
            select(EVENT_STREAMS.c.data).where(EVENT_STREAMS.c.exchange_id == exchange_id)
        ).scalar()
        events = zstandard.decompress(stream) if stream is not None else None
        if events is None and "response" not in sides:
            body, _ = received_so_far(connection, exchange_id)
            events = body or None
        return Bodies(sides.get("request"), sides.get("response"), events)


def event_times(engine: Engine, exchange_id: int) -> list[tuple[int, int]]:
    """Return (offset after the chunk, nanoseconds since the request began) for each chunk of a stored stream."""
    query = select(EVENT_STREAMS.c.chunks).where(EVENT_STREAMS.c.exchange_id == exchange_id)
    with engine.connect() as connection:
        packed = connection.execute(query).scalar()
    return [(offset, at) for offset, at in json.loads(zstandard.decompress(packed))] if packed is not None else []


def count_before(engine: Engine, moment: datetime) -> int:
    """Return how many calls `delete_before` would delete."""
    query = select(func.count()).select_from(EXCHANGES).where(*ended_before(moment))
    with engine.connect() as connection:
        return connection.execute(query).scalar_one()


def delete_before(engine: Engine, moment: datetime) -> int:
    """Delete the calls that began before `moment` and are over; return how many."""
    with writing(engine) as connection:
        return connection.execute(delete(EXCHANGES).where(*ended_before(moment))).rowcount


def ended_before(moment: datetime) -> list[ColumnElement[bool]]:
    """Return the condition for calls that began before `moment` and are over."""
    return [
        EXCHANGES.c.started_at < int(moment.timestamp() * 1e6),
        EXCHANGES.c.state != State.IN_FLIGHT,
    ]


def fingerprint_key(connection: Connection) -> bytes:
    """Return the key that this store's fingerprints of API keys are made with."""
    key: bytes = connection.execute(select(IDENTITY.c.fingerprint_key)).scalar_one()
    return key


def insert_exchanges(connection: Connection, rows: Sequence[Values]) -> dict[str, int]:
    """Insert rows of `exchanges`, which all have the same columns; return their ids by uuid."""
    if not rows:
        return {}
    returned = connection.execute(insert(EXCHANGES).returning(EXCHANGES.c.uuid, EXCHANGES.c.id), rows)
    return {row.uuid: row.id for row in returned}


def update_exchanges(connection: Connection, rows: Sequence[Values]) -> None:
    """Update rows of `exchanges` by their `id`; all rows have the same columns."""
    if not rows:
        return
    columns = [name for name in rows[0] if name != "id"]
    statement = (
        update_statement(EXCHANGES)
        .where(EXCHANGES.c.id == bindparam("row_id"))
        .values({name: bindparam(f"new_{name}") for name in columns})
    )
    renamed = [{"row_id": row["id"]} | {f"new_{name}": row[name] for name in columns} for row in rows]
    connection.execute(statement, renamed)


def insert_contents(
    connection: Connection, bodies: Sequence[Values], streams: Sequence[Values], segments: Sequence[Values] = ()
) -> None:
    """Insert rows of `bodies`, `event_streams` and `response_segments`."""
    for table, rows in ((BODIES, bodies), (EVENT_STREAMS, streams), (SEGMENTS, segments)):
        if rows:
            connection.execute(insert(table), rows)


def delete_segments(connection: Connection, exchange_ids: Sequence[int]) -> None:
    """Delete what was kept of answers under way, for calls that are over."""
    delete_for(connection, SEGMENTS, exchange_ids)


def delete_answers(connection: Connection, exchange_ids: Sequence[int]) -> None:
    """Delete the answers of calls."""
    delete_for(connection, EVENT_STREAMS, exchange_ids)
    delete_for(connection, BODIES, exchange_ids, BODIES.c.side == "response")


def delete_for(connection: Connection, table: Table, exchange_ids: Sequence[int], *where: ColumnElement[bool]) -> None:
    """Delete the rows of `table` that belong to these calls and for which `where` holds."""
    if exchange_ids:
        # One statement run for each: a list of values has a length that the database does not take.
        statement = delete(table).where(table.c.exchange_id == bindparam("owner"), *where)
        connection.execute(statement, [{"owner": exchange_id} for exchange_id in exchange_ids])


def body_row(exchange_id: int, side: str, data: bytes) -> Values:
    """Return a row of `bodies`."""
    return {"exchange_id": exchange_id, "side": side, "is_text": is_text(data), "data": data}


def is_text(data: bytes) -> bool:
    """Tell whether both databases can show these bytes as text."""
    if b"\x00" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def stream_row(exchange_id: int, data: bytes, chunks: Sequence[tuple[int, int]]) -> Values:
    """Return a row of `event_streams`."""
    return {
        "exchange_id": exchange_id,
        "data": zstandard.compress(data),
        "chunks": zstandard.compress(json.dumps(chunks, separators=(",", ":")).encode()),
    }


def segment_row(exchange_id: int, sequence: int, data: bytes, chunks: Sequence[tuple[int, int]]) -> Values:
    """Return a row of `response_segments`."""
    return {"exchange_id": exchange_id, "sequence": sequence, "data": data, "chunks": json.dumps(chunks)}


def received_so_far(connection: Connection, exchange_id: int) -> tuple[bytes, list[tuple[int, int]]]:
    """Return what the segments hold of an answer under way."""
    query = select(SEGMENTS.c.data, SEGMENTS.c.chunks).where(SEGMENTS.c.exchange_id == exchange_id)
    data, chunks = b"", list[tuple[int, int]]()
    for piece, times in connection.execute(query.order_by(SEGMENTS.c.sequence)):
        data += piece
        chunks += [(offset, at) for offset, at in json.loads(times)]
    return data, chunks


def begin_run(connection: Connection, run: Values) -> None:
    """Write down that a proxy starts."""
    connection.execute(insert(RUNS), [run])


def touch_run(connection: Connection, run_id: str, now: int, *, ended: bool = False) -> None:
    """Write down that a proxy lives at `now` (microseconds), or that it ended."""
    values = {"heartbeat_at": now} | ({"ended_at": now} if ended else {})
    connection.execute(update_statement(RUNS).where(RUNS.c.id == run_id).values(values))


def open_runs(connection: Connection) -> list[RowMapping]:
    """Return the runs that left calls in flight."""
    left = select(EXCHANGES.c.run_id).where(EXCHANGES.c.state == State.IN_FLIGHT)
    return list(connection.execute(select(RUNS).where(RUNS.c.id.in_(left))).mappings())


def unfinished(connection: Connection, run_id: str) -> list[Unfinished]:
    """Return the calls that a run left in flight."""
    query = select(*COLUMNS).where(EXCHANGES.c.run_id == run_id, EXCHANGES.c.state == State.IN_FLIGHT)
    found = []
    for row in connection.execute(query).mappings().all():
        body = select(BODIES.c.data).where(BODIES.c.exchange_id == row["id"], BODIES.c.side == "request")
        received, chunks = received_so_far(connection, row["id"])
        request = connection.execute(body).scalar() or b""
        found.append(Unfinished(to_exchange(row), request, received, chunks))
    return found
