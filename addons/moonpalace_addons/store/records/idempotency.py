"""Prepare an idempotent rewrite of calls that may be stored already."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import batched

from sqlalchemy import Connection, bindparam, delete, select

from moonpalace_addons.store.records import runs
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import EXCHANGES, RUNS, SEGMENTS
from moonpalace_addons.store.state import State

BATCH_SIZE = 500
"""Uuids per statement, which databases limit."""


@dataclass(frozen=True, slots=True)
class Row:
    """The existing row of a call."""

    id: int
    state: State


def rows_of(connection: Connection, uuids: Sequence[str]) -> dict[str, Row]:
    """Return the existing rows of these calls by uuid."""
    rows = dict[str, Row]()
    for some in batched(uuids, BATCH_SIZE):
        query = select(EXCHANGES.c.uuid, EXCHANGES.c.id, EXCHANGES.c.state).where(EXCHANGES.c.uuid.in_(some))
        rows |= {row.uuid: Row(row.id, State(row.state)) for row in connection.execute(query)}
    return rows


def delete_segments_from(connection: Connection, begins: Sequence[tuple[int, int]]) -> None:
    """Delete, for each (call id, sequence number), the segments from that number on."""
    if begins:
        statement = delete(SEGMENTS).where(
            SEGMENTS.c.exchange_id == bindparam("owner"), SEGMENTS.c.sequence >= bindparam("first")
        )
        connection.execute(statement, [{"owner": owner, "first": first} for owner, first in begins])


def ensure_run(connection: Connection, run: Values) -> None:
    """Insert a run unless it exists."""
    if connection.execute(select(RUNS.c.id).where(RUNS.c.id == run["id"])).first() is None:
        runs.begin_run(connection, run)
