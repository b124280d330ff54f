"""SQL for transferring calls between stores: values in, values out."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, func, insert, select, text

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.records.request_headers import request_headers
from moonpalace_addons.store.records.response_headers import UNSHARED, response_headers
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import EXCHANGES, RUNS, TAGS

KEY_BATCH_SIZE = 1000
# Ids of pieces differ between stores.
PIECE_COLUMNS = (
    "request_headers",
    "request_headers_part",
    "request_parts",
    "response_headers",
    "response_parts",
    *UNSHARED,
)
HEADERS = {"request": request_headers(), "response": response_headers()}
TRANSFERRED = [*HEADERS.values(), *(column for column in EXCHANGES.c if column.name not in PIECE_COLUMNS)]


def count(connection: Connection) -> int:
    """Return the number of calls in the store."""
    return connection.execute(select(func.count()).select_from(EXCHANGES)).scalar_one()


def keys(connection: Connection) -> Iterator[tuple[int, str]]:
    """Yield id and uuid of every call, oldest first."""
    last = 0
    while True:
        query = select(EXCHANGES.c.id, EXCHANGES.c.uuid).where(EXCHANGES.c.id > last).order_by(EXCHANGES.c.id)
        found = connection.execute(query.limit(KEY_BATCH_SIZE)).all()
        for row in found:
            yield row.id, row.uuid
        if not found:
            return
        last = found[-1].id


def columns_of(connection: Connection, exchange_id: int) -> Values | None:
    """Return the columns of a call except its bodies; None if it has been deleted.

    Raises StoreError if its headers are missing.
    """
    parts = [EXCHANGES.c[f"{side}_headers_part"] for side in HEADERS]
    row = connection.execute(select(*TRANSFERRED, *parts).where(EXCHANGES.c.id == exchange_id)).mappings().first()
    if row is None:
        return None
    for side, part in zip(HEADERS, parts, strict=True):
        if row[f"{side}_headers"] is None and row[part.name] is not None:
            raise StoreError(f"the store is damaged: the {side} headers of call {exchange_id} are missing")
    return {name: value for name, value in row.items() if name not in (part.name for part in parts)}


def run_of(connection: Connection, run_id: str) -> Values:
    """Return the row of a run."""
    return dict(connection.execute(select(RUNS).where(RUNS.c.id == run_id)).mappings().one())


def known(connection: Connection, uuids: Sequence[str]) -> set[str]:
    """Return the uuids that the store already has."""
    query = select(EXCHANGES.c.uuid).where(EXCHANGES.c.uuid.in_(uuids))
    return {row.uuid for row in connection.execute(query)}


def insert_missing_runs(connection: Connection, rows: Sequence[Values]) -> None:
    """Insert the runs that the store does not have."""
    by_id = {str(row["id"]): row for row in rows}
    present = set(connection.execute(select(RUNS.c.id).where(RUNS.c.id.in_(list(by_id)))).scalars())
    missing = [row for run_id, row in by_id.items() if run_id not in present]
    if missing:
        connection.execute(insert(RUNS), missing)


def insert_tags(connection: Connection, tags: Sequence[tuple[int, str]]) -> None:
    """Insert tags of calls without tags."""
    if tags:
        connection.execute(insert(TAGS), [{"exchange_id": exchange_id, "tag": tag} for exchange_id, tag in tags])


def begin_ids_after(connection: Connection, greatest: int) -> None:
    """Make the ids of an SQLite store continue after `greatest`."""
    changed = connection.execute(
        text("UPDATE sqlite_sequence SET seq = :seq WHERE name = 'exchanges' AND seq < :seq"), {"seq": greatest}
    )
    if not changed.rowcount:
        connection.execute(
            text(
                "INSERT INTO sqlite_sequence (name, seq) SELECT 'exchanges', :seq"
                " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'exchanges')"
            ),
            {"seq": greatest},
        )
