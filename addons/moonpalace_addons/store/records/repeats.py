"""What is to be known and cleared before something is written that may be there already: values in, values out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import batched

from sqlalchemy import Connection, bindparam, delete, select

from moonpalace_addons.store.records import runs
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import EXCHANGES, RUNS, SEGMENTS
from moonpalace_addons.store.state import State

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Row:
    """The row that a call has."""

    id: int
    state: State


def rows_of(connection: Connection, uuids: Sequence[str]) -> dict[str, Row]:
    """Return the rows of those of these calls that have one, by uuid."""
    found = dict[str, Row]()
    for some in batched(uuids, AT_ONCE):  # a list of values has a length that the database does not take
        query = select(EXCHANGES.c.uuid, EXCHANGES.c.id, EXCHANGES.c.state).where(EXCHANGES.c.uuid.in_(some))
        found |= {row.uuid: Row(row.id, State(row.state)) for row in connection.execute(query)}
    return found


def delete_segments_from(connection: Connection, begins: Sequence[tuple[int, int]]) -> None:
    """Delete, for each (id of a call, number), the segments with that number and those after it."""
    if begins:
        statement = delete(SEGMENTS).where(
            SEGMENTS.c.exchange_id == bindparam("owner"), SEGMENTS.c.sequence >= bindparam("first")
        )
        connection.execute(statement, [{"owner": owner, "first": first} for owner, first in begins])


def ensure_run(connection: Connection, run: Values) -> None:
    """Write down a run, unless it is."""
    if connection.execute(select(RUNS.c.id).where(RUNS.c.id == run["id"])).first() is None:
        runs.begin_run(connection, run)
