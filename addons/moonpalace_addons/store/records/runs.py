"""The runs of proxies, and the calls that they left in flight."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, case, insert, select, update

from moonpalace_addons.store.records import parts
from moonpalace_addons.store.records.clock import database_now, database_started
from moonpalace_addons.store.records.contents import received_so_far
from moonpalace_addons.store.records.exchanges import COLUMNS, Exchange, to_exchange
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import EXCHANGES, RUNS
from moonpalace_addons.store.state import State


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A call that a dead proxy left in flight, with the received part of its answer."""

    exchange: Exchange
    request_body: bytes
    response_body: bytes
    chunks: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run of a proxy. `silent` is the time since its last heartbeat with the database available, in microseconds."""

    id: str
    host: str
    pid: int
    is_over: bool
    silent: int


def begin_run(connection: Connection, run: Values) -> None:
    """Record the start of a proxy: now by the database's clock, unless `run` has a time."""
    values = {"started_at": database_now(), "heartbeat_at": database_now()} | run
    connection.execute(insert(RUNS).values(values))


def touch_run(connection: Connection, run_id: str, state: Values | None = None, *, ended: bool = False) -> None:
    """Record a proxy's heartbeat, or its end, and other columns of its row."""
    values = {"heartbeat_at": database_now()} | ({"ended_at": database_now()} if ended else {}) | (state or {})
    connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(values))


def open_runs(connection: Connection) -> list[OpenRun]:
    """Return the runs that left calls in flight."""
    run_ids = select(EXCHANGES.c.run_id).where(EXCHANGES.c.state == State.IN_FLIGHT)
    return runs_where(connection, RUNS.c.id.in_(run_ids))


def live_runs(connection: Connection, silent: int) -> list[OpenRun]:
    """Return the runs that have not ended and whose last heartbeat is at most `silent` microseconds ago."""
    return runs_where(connection, and_(RUNS.c.ended_at.is_(None), RUNS.c.heartbeat_at >= database_now() - silent))


def runs_where(connection: Connection, condition: ColumnElement[bool]) -> list[OpenRun]:
    """Return the runs that meet a condition."""
    last_seen = case((RUNS.c.heartbeat_at > database_started(), RUNS.c.heartbeat_at), else_=database_started())
    columns = (RUNS.c.id, RUNS.c.host, RUNS.c.pid, RUNS.c.ended_at.is_not(None), database_now() - last_seen)
    return [OpenRun(*row) for row in connection.execute(select(*columns).where(condition))]


def claim_run(connection: Connection, run_id: str) -> bool:
    """Lock a run for the rest of the transaction; return False if another transaction holds it."""
    query = select(RUNS.c.id).where(RUNS.c.id == run_id).with_for_update(skip_locked=True, key_share=True)
    return connection.execute(query).first() is not None


def unfinished(connection: Connection, run_id: str) -> list[Unfinished]:
    """Return the calls that a run left in flight."""
    query = select(*COLUMNS).where(EXCHANGES.c.run_id == run_id, EXCHANGES.c.state == State.IN_FLIGHT)
    calls = []
    for row in connection.execute(query).mappings().all():
        received, chunks = received_so_far(connection, row["id"])
        request = parts.joined(connection, row["id"], "request") or b""
        calls.append(Unfinished(to_exchange(row), request, received, chunks))
    return calls
