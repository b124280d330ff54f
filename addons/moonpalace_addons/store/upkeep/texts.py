"""Iterate over all texts in the store, for the secret scan."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import batched, product

import zstandard
from sqlalchemy import Connection, LargeBinary, String, Table, select, true

from moonpalace_addons.store.records.body_text import Side, pieces
from moonpalace_addons.store.records.expressions import HEADERS
from moonpalace_addons.store.schema import (
    CONTEXT_CACHES,
    EVENT_STREAMS,
    EXCHANGES,
    EXPLANATIONS,
    PARTS,
    RUNS,
    SEGMENTS,
    TAGS,
)

BATCH_SIZE = 500
LARGE_BATCH_SIZE = 20
SIDES: tuple[Side, ...] = ("request", "response")
# Columns that only we write, and bodies, which are scanned piece by piece.
EXCLUDED = frozenset({"uuid", "run_id", "state", "key_fingerprint", "request_parts", "response_parts"})


@dataclass(frozen=True, slots=True)
class Text:
    """A text in the store: table, column, id of the row, and UTF-8 data."""

    table: str
    column: str
    row: int | str
    data: bytes = field(repr=False)


def texts(connection: Connection) -> Iterator[Text]:
    """Yield every text, streams decompressed and each piece once, with a few rows in memory at a time."""
    yield from columns_of(connection, EXCHANGES, "id", BATCH_SIZE)
    yield from tags(connection)
    yield from explanations(connection)
    yield from columns_of(connection, CONTEXT_CACHES, "id", BATCH_SIZE)
    yield from runs(connection)
    yield from columns_of(connection, PARTS, "id", LARGE_BATCH_SIZE)
    for text in columns_of(connection, EVENT_STREAMS, "exchange_id", LARGE_BATCH_SIZE):
        data = zstandard.decompress(text.data) if text.column == "data" else text.data
        yield Text(text.table, text.column, text.row, data)
    yield from segments(connection)


def columns_of(connection: Connection, table: Table, key: str, batch_size: int) -> Iterator[Text]:
    """Yield the text columns and the column `data` of every row of a table."""
    columns = [
        HEADERS.get(column.name, column)
        for column in table.c
        if (isinstance(column.type, String) and column.name not in EXCLUDED)
        or (isinstance(column.type, LargeBinary) and column.name == "data")
    ]
    last = 0
    while True:
        query = select(table.c[key], *columns).where(table.c[key] > last).order_by(table.c[key]).limit(batch_size)
        rows = connection.execute(query).all()
        for number, *values in rows:
            for column, value in zip(columns, values, strict=True):
                if value:
                    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value)
                    yield Text(table.name, column.name, number, data)
        if not rows:
            return
        last = rows[-1][0]


def tags(connection: Connection) -> Iterator[Text]:
    """Yield the tags."""
    for number, tag in connection.execute(select(TAGS.c.exchange_id, TAGS.c.tag).order_by(TAGS.c.exchange_id)):
        yield Text("exchange_tags", "tag", number, tag.encode())


def explanations(connection: Connection) -> Iterator[Text]:
    """Yield the explanations, and the questions that they answer."""
    columns = (EXPLANATIONS.c.text, EXPLANATIONS.c.question)
    for number, *values in connection.execute(select(EXPLANATIONS.c.exchange_id, *columns)):
        for column, value in zip(columns, values, strict=True):
            if value:
                yield Text("explanations", column.name, number, value.encode("utf-8", "surrogatepass"))


def runs(connection: Connection) -> Iterator[Text]:
    """Yield the host names of runs."""
    for run_id, host in connection.execute(select(RUNS.c.id, RUNS.c.host)):
        yield Text("runs", "host", run_id, host.encode())


def segments(connection: Connection) -> Iterator[Text]:
    """Yield the answers in flight, each as a whole, because a secret may span two segments."""
    query = select(SEGMENTS.c.exchange_id).distinct().order_by(SEGMENTS.c.exchange_id)
    for number in connection.execute(query).scalars().all():
        rows = select(SEGMENTS.c.data).where(SEGMENTS.c.exchange_id == number).order_by(SEGMENTS.c.sequence)
        yield Text("response_segments", "data", number, b"".join(connection.execute(rows).scalars()))


def calls_with(connection: Connection, part_ids: Iterable[int]) -> dict[int, list[tuple[int, str]]]:
    """Return the calls that use these pieces, with the field: "request body", "request_headers" or of the response.

    Pieces that no call uses are left out.
    """
    stored: dict[int, list[tuple[int, str]]] = {}
    for some, side in product(batched(part_ids, BATCH_SIZE), SIDES):
        headers = EXCHANGES.c[f"{side}_headers_part"]
        for part_id, exchange_id in connection.execute(select(headers, EXCHANGES.c.id).where(headers.in_(some))):
            stored.setdefault(part_id, []).append((exchange_id, f"{side}_headers"))
        listed = pieces(side, connection.dialect.name)
        source = EXCHANGES.join(listed.source, true())
        query = select(listed.part_id, EXCHANGES.c.id).select_from(source).where(listed.part_id.in_(some)).distinct()
        for part_id, exchange_id in connection.execute(query.order_by(EXCHANGES.c.id)):
            stored.setdefault(int(part_id), []).append((exchange_id, f"{side} body"))
    return stored
