"""Query the database about its own state."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text, true, union
from sqlalchemy.exc import DBAPIError

from moonpalace_addons.store.records.body_text import Side, pieces, valid_list
from moonpalace_addons.store.records.clock import database_now, database_started
from moonpalace_addons.store.records.runs import OpenRun
from moonpalace_addons.store.schema import EXCHANGES, METADATA, PARTS, RUNS
from moonpalace_addons.store.state import State
from moonpalace_addons.store.telemetry import export_state
from moonpalace_addons.store.telemetry.export_state import ExportState
from moonpalace_addons.store.upkeep.unused import HEADERS, used_ids

SIDES: tuple[Side, ...] = ("request", "response")
MAX_LISTED = 10
"""Maximum damaged calls and rows that are listed."""


@dataclass(frozen=True, slots=True)
class Run:
    """A proxy that has not recorded its end; `started_at` is in microseconds since the epoch."""

    open_run: OpenRun
    version: str
    started_at: int
    in_flight: int
    export: ExportState | None = None


def revision(connection: Connection) -> str:
    """Return the revision of the schema."""
    number: str = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    return number


def journal_mode(connection: Connection) -> str | None:
    """Return SQLite's journal mode, None for another database."""
    if connection.dialect.name != "sqlite":
        return None
    mode: str = connection.execute(text("PRAGMA journal_mode")).scalar_one()
    return mode


def rows_by_state(connection: Connection) -> dict[str, int]:
    """Return the number of calls in each state."""
    query = (
        select(EXCHANGES.c.state, func.count().label("number")).group_by(EXCHANGES.c.state).order_by(EXCHANGES.c.state)
    )
    return {row.state: row.number for row in connection.execute(query)}


def table_sizes(connection: Connection) -> dict[str, int]:
    """Return the size in bytes of each table with its indexes, largest first; empty if the database cannot tell."""
    names = list(METADATA.tables)
    if connection.dialect.name != "sqlite":
        sizes = {name: connection.execute(select(func.pg_total_relation_size(name))).scalar_one() for name in names}
    else:
        query = "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY 1"
        try:
            measured = {str(name): int(size) for name, size in connection.execute(text(query))}
        except DBAPIError:
            return {}  # an SQLite built without dbstat
        sizes = {name: measured.get(name, 0) for name in names}
    return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))


def database_size(connection: Connection) -> int:
    """Return the size of the whole database in bytes."""
    if connection.dialect.name != "sqlite":
        return int(connection.execute(select(func.pg_database_size(func.current_database()))).scalar_one())
    pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    return int(pages) * int(connection.execute(text("PRAGMA page_size")).scalar_one())


def broken(connection: Connection) -> list[str]:
    """Return the damage that SQLite's checks find, in a few lines at most."""
    if connection.dialect.name != "sqlite":
        return []
    lines = [str(line) for (line,) in connection.execute(text(f"PRAGMA quick_check({MAX_LISTED})"))]
    damage = [] if lines == ["ok"] else lines
    for row in connection.execute(text("PRAGMA foreign_key_check")).fetchmany(MAX_LISTED):
        damage.append(f"row {row[1]} of {row[0]} refers to a row of {row[2]} that does not exist")
    return damage


def damaged_calls(connection: Connection) -> list[int]:
    """Return the calls with missing pieces of bodies or headers."""
    ids: set[int] = set()
    for headers in HEADERS:
        source = EXCHANGES.outerjoin(PARTS, PARTS.c.id == headers)
        lost = select(EXCHANGES.c.id).select_from(source).where(headers.is_not(None), PARTS.c.id.is_(None))
        ids.update(connection.execute(lost).scalars())
    if connection.dialect.name == "sqlite":
        for column in (EXCHANGES.c.request_parts, EXCHANGES.c.response_parts):
            unreadable = select(EXCHANGES.c.id).where(column.is_not(None), valid_list(column).is_(None))
            ids.update(connection.execute(unreadable).scalars())
    for side in SIDES:
        listed = pieces(side, connection.dialect.name)
        source = EXCHANGES.join(listed.source, true()).outerjoin(PARTS, PARTS.c.id == listed.part_id)
        ids.update(connection.execute(select(EXCHANGES.c.id).select_from(source).where(PARTS.c.id.is_(None))).scalars())
    return sorted(ids)


def unused_pieces(connection: Connection) -> tuple[int, int]:
    """Return the number of unused pieces and their total size in bytes."""
    listed_ids = union(*used_ids(connection.dialect.name)).subquery()
    query = select(func.count(), func.coalesce(func.sum(func.length(PARTS.c.data)), 0)).where(
        PARTS.c.id.not_in(select(listed_ids.c.id))
    )
    number, size = connection.execute(query).one()
    return int(number), int(size)


def unended_runs(connection: Connection) -> list[Run]:
    """Return the proxies that have not recorded their end, including dead ones."""
    silent = database_now() - func.max(RUNS.c.heartbeat_at, database_started())
    if connection.dialect.name != "sqlite":
        silent = database_now() - func.greatest(RUNS.c.heartbeat_at, database_started())
    in_flight_count = (
        select(func.count())
        .select_from(EXCHANGES)
        .where(EXCHANGES.c.run_id == RUNS.c.id, EXCHANGES.c.state == State.IN_FLIGHT)
        .scalar_subquery()
    )
    columns = (RUNS.c.id, RUNS.c.host, RUNS.c.pid, silent, RUNS.c.version, RUNS.c.started_at, in_flight_count)
    query = select(*columns, RUNS.c.export).where(RUNS.c.ended_at.is_(None)).order_by(RUNS.c.started_at)
    return [
        Run(OpenRun(run_id, host, pid, False, int(quiet)), version, started_at, in_flight, export_state.read(export))
        for run_id, host, pid, quiet, version, started_at, in_flight, export in connection.execute(query)
    ]
