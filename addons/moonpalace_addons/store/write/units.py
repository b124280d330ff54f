"""What is to be written for one call, and the writing of it, for the first time or again."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from moonpalace_addons.store.records import contents, exchanges, idempotency, parts, shared_pieces
from moonpalace_addons.store.records.body_text import Side
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.state import State

type Times = Sequence[tuple[int, int]]
"""Of each chunk: the offset after it, and the nanoseconds since the request began."""

type Segment = tuple[int, bytes, Times]
"""Number, bytes and arrival times of a piece of an answer under way."""

UNIT_WEIGHT = 4096
"""Bytes that the columns of a call take, about."""
TIME_WEIGHT = 120
"""Bytes that the offset and the time of one chunk take, about."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What the end of a call brings beside columns: the body to keep, and the stream with its texts if it was one."""

    body: bytes | None = field(repr=False)
    stream: bytes | None = field(repr=False)
    times: Times = field(repr=False)
    texts: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class Unit:
    """What is to be written for one call. Nothing in it is secret any more.

    A new row is written whole, from `columns`; of the row that has the id `row_id`, `changed` is. `kept` says that
    segments of its answer are stored, which go when it ends. `since` is when it was planned, of the monotonic clock.
    """

    uuid: str
    columns: Values
    row_id: int | None = None
    changed: Values = field(default_factory=dict)
    request_body: bytes | None = field(default=None, repr=False)
    ending: Ending | None = None
    segments: list[Segment] = field(default_factory=list, repr=False)
    kept: bool = False
    since: float = 0.0

    def is_due(self, before: float) -> bool:
        """Tell whether it is to be stored: at its end, and before that if it was planned before some moment."""
        return self.ending is not None or self.since <= before

    @property
    def weight(self) -> int:
        """Return how many bytes of memory it takes, about."""
        total = UNIT_WEIGHT + len(self.request_body or b"")
        total += sum(len(data) + TIME_WEIGHT * len(times) for _, data, times in self.segments)
        if self.ending is not None:
            total += len(self.ending.body or b"") + len(self.ending.stream or b"") + len(self.ending.texts or "")
            total += TIME_WEIGHT * len(self.ending.times)
        return total


def merged(units: Iterable[Unit]) -> list[Unit]:
    """Return units of which each call has one, from units of which a call may have several, in their order."""
    found: dict[str, Unit] = {}
    for later in units:
        earlier = found.get(later.uuid)
        if earlier is None:
            found[later.uuid] = later
            continue
        body = earlier.request_body if earlier.request_body is not None else later.request_body
        found[later.uuid] = Unit(
            later.uuid,
            later.columns,
            earlier.row_id,
            earlier.changed | later.changed,
            body,
            later.ending or earlier.ending,
            [*earlier.segments, *later.segments],
            earlier.kept or later.kept,
        )
    return list(found.values())


def write(connection: Connection, units: Sequence[Unit]) -> dict[str, int]:
    """Write units that have not been tried before; return the ids of their rows by uuid."""
    return put(connection, units, {unit.uuid: unit.row_id for unit in units if unit.row_id is not None})


def rewrite(connection: Connection, units: Sequence[Unit]) -> dict[str, int]:
    """Write units of which any part may be stored already; return the ids of their rows by uuid.

    That is so after a connection was lost in the midst of a COMMIT, for a journal that is taken in a second time, and
    where another proxy took this one for dead and finished its rows: the end that is known here wins.
    """
    rows = idempotency.rows_of(connection, [unit.uuid for unit in units])
    ids = {uuid: row.id for uuid, row in rows.items()}
    # Of a call that is over in the store, only its end can bring anything new.
    fresh = [unit for unit in units if unit.ending or unit.uuid not in rows or rows[unit.uuid].state == State.IN_FLIGHT]
    over = [ids[unit.uuid] for unit in fresh if unit.ending and unit.uuid in ids]
    contents.delete_answers(connection, over)
    contents.delete_segments(connection, over)
    begun = [unit for unit in fresh if not unit.ending and unit.segments and unit.uuid in ids]
    idempotency.delete_segments_from(connection, [(ids[unit.uuid], unit.segments[0][0]) for unit in begun])
    return ids | put(connection, fresh, ids)


def put(connection: Connection, units: Sequence[Unit], known: dict[str, int]) -> dict[str, int]:
    """Write units: new rows, changed rows, bodies, streams, segments; `known` are the ids of rows that are there."""
    listed = put_pieces(connection, units, known)
    new = [unit.columns | parts.NONE | listed[unit.uuid] for unit in units if unit.uuid not in known]
    ids = known | exchanges.insert_exchanges(connection, new)
    changed = [unit.changed | listed[unit.uuid] | {"id": known[unit.uuid]} for unit in units if unit.uuid in known]
    for alike in by_columns([row for row in changed if len(row) > 1]).values():
        exchanges.update_exchanges(connection, alike)
    streams, segments = list[contents.Stream](), list[contents.Segment]()
    for unit in units:
        row_id, ending = ids[unit.uuid], unit.ending
        if ending is None:
            segments += [contents.Segment(row_id, *segment) for segment in unit.segments]
        elif ending.stream is not None:
            streams.append(contents.Stream(row_id, ending.stream, ending.times, ending.texts))
    contents.delete_segments(connection, [ids[unit.uuid] for unit in units if unit.ending and unit.kept])
    contents.insert_contents(connection, [], streams, segments)
    return ids


def put_pieces(connection: Connection, units: Sequence[Unit], known: Container[str]) -> dict[str, Values]:
    """Store the bodies and headers that units bring; return the columns of their rows that refer to them, by uuid."""
    bodies = list[tuple[str, Side, bytes]]()
    for unit in units:
        # A row and its request are always stored together.
        if unit.request_body is not None and unit.uuid not in known:
            bodies.append((unit.uuid, "request", unit.request_body))
        if unit.ending is not None and unit.ending.body is not None:
            bodies.append((unit.uuid, "response", unit.ending.body))
    new = {unit.uuid: unit.columns for unit in units if unit.uuid not in known}
    answered = {unit.uuid: unit.columns for unit in units if unit.uuid in known and "response_headers" in unit.changed}
    return {unit.uuid: {} for unit in units} | shared_pieces.keep(connection, new, bodies, answered=answered)


def by_columns(rows: list[Values]) -> dict[tuple[str, ...], list[Values]]:
    """Group rows that have the same columns, which one statement can then update."""
    groups: dict[tuple[str, ...], list[Values]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    return groups
