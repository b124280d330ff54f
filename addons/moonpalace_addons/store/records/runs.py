"""The lives of proxies and the calls that they left: values in, values out."""

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, insert, select, update

from moonpalace_addons.store.records.contents import received_so_far
from moonpalace_addons.store.records.exchanges import COLUMNS, Exchange, to_exchange
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import BODIES, EXCHANGES, RUNS
from moonpalace_addons.store.tasks import State


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A call that a dead proxy left, with what had been received of its answer."""

    exchange: Exchange
    request_body: bytes
    response_body: bytes
    chunks: list[tuple[int, int]]


def begin_run(connection: Connection, run: Values) -> None:
    """Write down that a proxy starts."""
    connection.execute(insert(RUNS), [run])


def touch_run(connection: Connection, run_id: str, now: int, *, ended: bool = False) -> None:
    """Write down that a proxy lives at `now` (microseconds), or that it ended."""
    values = {"heartbeat_at": now} | ({"ended_at": now} if ended else {})
    connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(values))


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
