"""Everything in the store that is text, for who looks through all of it: values in, values out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import batched, product

import zstandard
from sqlalchemy import Connection, LargeBinary, String, Table, select, true

from moonpalace_addons.store.records.body_text import Side, pieces
from moonpalace_addons.store.records.expressions import HEADERS
from moonpalace_addons.store.schema import CONTEXT_CACHES, EVENT_STREAMS, EXCHANGES, PARTS, RUNS, SEGMENTS, TAGS

ROWS_AT_ONCE = 500
LARGE_AT_ONCE = 20
SIDES: tuple[Side, ...] = ("request", "response")
# What is written by us alone, and bodies, which are looked through piece by piece.
LEFT_OUT = frozenset({"uuid", "run_id", "state", "key_fingerprint", "request_parts", "response_parts"})


@dataclass(frozen=True, slots=True)
class Text:
    """A text in the store: the table, its column, the number of the row (of pieces, that of the piece)."""

    table: str
    column: str
    row: int | str
    data: bytes = field(repr=False)


def texts(connection: Connection) -> Iterator[Text]:
    """Give every text, streams unpacked, each piece of a body once; holds a few rows at a time in memory."""
    yield from columns_of(connection, EXCHANGES, "id", ROWS_AT_ONCE)
    yield from tags(connection)
    yield from columns_of(connection, CONTEXT_CACHES, "id", ROWS_AT_ONCE)
    yield from runs(connection)
    yield from columns_of(connection, PARTS, "id", LARGE_AT_ONCE)
    for found in columns_of(connection, EVENT_STREAMS, "exchange_id", LARGE_AT_ONCE):
        data = zstandard.decompress(found.data) if found.column == "data" else found.data
        yield Text(found.table, found.column, found.row, data)
    yield from segments(connection)


def columns_of(connection: Connection, table: Table, key: str, at_once: int) -> Iterator[Text]:
    """Give the texts, or the column `data`, of every row of a table."""
    columns = [
        HEADERS.get(column.name, column)
        for column in table.c
        if (isinstance(column.type, String) and column.name not in LEFT_OUT)
        or (isinstance(column.type, LargeBinary) and column.name == "data")
    ]
    last = 0
    while True:
        query = select(table.c[key], *columns).where(table.c[key] > last).order_by(table.c[key]).limit(at_once)
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
    """Give the tags."""
    for number, tag in connection.execute(select(TAGS.c.exchange_id, TAGS.c.tag).order_by(TAGS.c.exchange_id)):
        yield Text("exchange_tags", "tag", number, tag.encode())


def runs(connection: Connection) -> Iterator[Text]:
    """Give what the runs of proxies hold."""
    for run_id, host in connection.execute(select(RUNS.c.id, RUNS.c.host)):
        yield Text("runs", "host", run_id, host.encode())


def segments(connection: Connection) -> Iterator[Text]:
    """Give what has come of the answers under way, whole: a secret may lie across two pieces."""
    query = select(SEGMENTS.c.exchange_id).distinct().order_by(SEGMENTS.c.exchange_id)
    for number in connection.execute(query).scalars().all():
        rows = select(SEGMENTS.c.data).where(SEGMENTS.c.exchange_id == number).order_by(SEGMENTS.c.sequence)
        yield Text("response_segments", "data", number, b"".join(connection.execute(rows).scalars()))


def calls_with(connection: Connection, part_ids: Iterable[int]) -> dict[int, list[tuple[int, str]]]:
    """Return which calls have these pieces, and in what: "request body" or "request_headers", or of the response.

    A piece that no call has is left out.
    """
    found: dict[int, list[tuple[int, str]]] = {}
    for some, side in product(batched(part_ids, ROWS_AT_ONCE), SIDES):
        headers = EXCHANGES.c[f"{side}_headers_part"]
        for part_id, exchange_id in connection.execute(select(headers, EXCHANGES.c.id).where(headers.in_(some))):
            found.setdefault(part_id, []).append((exchange_id, f"{side}_headers"))
        listed = pieces(side, connection.dialect.name)
        source = EXCHANGES.join(listed.source, true())
        query = select(listed.part_id, EXCHANGES.c.id).select_from(source).where(listed.part_id.in_(some)).distinct()
        for part_id, exchange_id in connection.execute(query.order_by(EXCHANGES.c.id)):
            found.setdefault(int(part_id), []).append((exchange_id, f"{side} body"))
    return found
