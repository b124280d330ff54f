"""Units of work for single calls, and writing them for the first time or again."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from moonpalace_addons.store.records import contents, exchanges, idempotency, parts, shared_pieces
from moonpalace_addons.store.records.body_text import Side
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.state import State

type Times = Sequence[tuple[int, int]]
"""For each chunk, the offset after it and the nanoseconds since the request began."""

type Segment = tuple[int, bytes, Times]
"""Sequence number, bytes and arrival times of a part of an answer in flight."""

UNIT_WEIGHT = 4096
"""Approximate bytes of the columns of a call."""
TIME_WEIGHT = 120
"""Approximate bytes of memory for the offset and the time of one chunk."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The content stored at the end of a call: the body, and the stream with its texts if there was one."""

    body: bytes | None = field(repr=False)
    stream: bytes | None = field(repr=False)
    times: Times = field(repr=False)
    texts: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class Unit:
    """The data to be written for one call, with all secrets masked.

    A new row is written from `columns`; an existing row, with the id `row_id`, is updated with `changed`. `kept` means
    that segments of its answer are stored, which are deleted when it ends. `since` is the monotonic time at which the
    unit was created.
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
        """Return whether it has to be stored: the call has ended, or the unit was created up to the time `before`."""
        return self.ending is not None or self.since <= before

    @property
    def weight(self) -> int:
        """Return the approximate memory of the unit in bytes."""
        total = UNIT_WEIGHT + len(self.request_body or b"")
        total += sum(len(data) + TIME_WEIGHT * len(times) for _, data, times in self.segments)
        if self.ending is not None:
            total += len(self.ending.body or b"") + len(self.ending.stream or b"") + len(self.ending.texts or "")
            total += TIME_WEIGHT * len(self.ending.times)
        return total


def merged(units: Iterable[Unit]) -> list[Unit]:
    """Merge consecutive units of the same call, so that each call has one."""
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
    """Write units for the first time; return their row ids by uuid."""
    return put(connection, units, {unit.uuid: unit.row_id for unit in units if unit.row_id is not None})


def rewrite(connection: Connection, units: Sequence[Unit]) -> dict[str, int]:
    """Write units of which any part may be stored already; return their row ids by uuid.

    This happens after a connection was lost during COMMIT, when a journal is read a second time, and when another proxy
    considered this one dead and finished its rows; the ending known here wins.
    """
    rows = idempotency.rows_of(connection, [unit.uuid for unit in units])
    ids = {uuid: row.id for uuid, row in rows.items()}
    # For a call that has ended in the store, only its ending can add anything.
    fresh = [unit for unit in units if unit.ending or unit.uuid not in rows or rows[unit.uuid].state == State.IN_FLIGHT]
    ended_ids = [ids[unit.uuid] for unit in fresh if unit.ending and unit.uuid in ids]
    contents.delete_answers(connection, ended_ids)
    contents.delete_segments(connection, ended_ids)
    begun = [unit for unit in fresh if not unit.ending and unit.segments and unit.uuid in ids]
    idempotency.delete_segments_from(connection, [(ids[unit.uuid], unit.segments[0][0]) for unit in begun])
    return ids | put(connection, fresh, ids)


def put(connection: Connection, units: Sequence[Unit], known: dict[str, int]) -> dict[str, int]:
    """Write new rows, changed rows, bodies, streams and segments; `known` are the ids of existing rows."""
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
    """Store the bodies and headers of units; return the columns that refer to them, by uuid."""
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
    """Group rows by their columns, so that one statement can update each group."""
    groups: dict[tuple[str, ...], list[Values]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    return groups
