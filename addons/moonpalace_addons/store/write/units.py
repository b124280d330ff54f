"""The parts of a call that are not yet stored, and writing them for the first time or again."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sqlalchemy import Connection

from moonpalace_addons.store.records import contents, exchanges, idempotency, parts, shared_pieces
from moonpalace_addons.store.records.body_text import Side
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.schema import EVENT_STREAMS, SEGMENTS
from moonpalace_addons.store.state import State
from moonpalace_addons.store.write.resent import CutBody, Piece
from moonpalace_addons.store.write.storable import storable

type Times = Sequence[tuple[int, int]]
"""For each chunk, the offset after it and the nanoseconds since the request began."""

type Segment = tuple[int, bytes, Times]
"""Sequence number, bytes and arrival times of a part of an answer in flight."""

UNIT_WEIGHT = 4096
"""Approximate bytes of the columns of a call."""
TIME_WEIGHT = 16
"""Approximate bytes of memory for the offset and the time of one chunk."""


@dataclass(slots=True)
class Unit:
    """The data to be written for one call, with all secrets masked.

    A new row is written from `columns`; an existing row, with the id `row_id`, is updated with `changed`. `kept` means
    that segments of its answer are stored, which are deleted when it ends. `since` is the monotonic time since which
    it waits to be written.

    Once the call `is_over`, `response_body` is its answer; for a stream, the completion that it merges to, `stream` its
    events with their `times`, and `texts` those of a stream that is not merged (`stream_texts.of_answer`).

    `request_body` is cut into pieces while its call is under way, so that calls that wait share what they have in
    common.

    `fields` are the scalar members of the request, and `words` the user's last ones; a journal has neither.
    """

    uuid: str
    columns: Values
    row_id: int | None = None
    changed: Values = field(default_factory=dict)
    request_body: bytes | CutBody | None = field(default=None, repr=False)
    segments: list[Segment] = field(default_factory=list, repr=False)
    kept: bool = False
    since: float = 0.0
    is_over: bool = False
    response_body: bytes | None = field(default=None, repr=False)
    stream: bytes | None = field(default=None, repr=False)
    times: Times = field(default=(), repr=False)
    texts: str | None = field(default=None, repr=False)
    fields: Mapping[str, object] | None = field(default=None, repr=False)
    words: str = field(default="", repr=False)

    def change(self, columns: Values, hidden: Sequence[bytes] = ()) -> None:
        """Change columns of the row; secrets in them are masked, including `hidden`."""
        self.set(storable(columns, hidden))

    def set(self, columns: Values) -> None:
        """Change columns whose values are ours and need no check."""
        self.columns |= columns
        self.changed |= columns

    def is_due(self, before: float) -> bool:
        """Return whether it has to be stored: the call has ended, or it has waited since the time `before`."""
        return self.is_over or self.since <= before

    @property
    def weight(self) -> int:
        """Return the approximate memory of the unit in bytes, without what its request shares with other requests."""
        body = self.request_body
        return self.size - (len(body) - body.own_size if isinstance(body, CutBody) else 0)

    @property
    def size(self) -> int:
        """Return the approximate bytes of the unit in a journal, where it shares nothing."""
        total = UNIT_WEIGHT + len(self.request_body or b"") + len(self.response_body or b"")
        if self.stream is not None:
            total += len(self.stream) + len(self.texts or "") + TIME_WEIGHT * len(self.times)
        for _, data, times in self.segments:
            total += len(data) + TIME_WEIGHT * len(times)
        return total


class Finished(NamedTuple):
    """A call that has ended and is stored, with what is known of its request: its fields, the user's last words."""

    call: Exchange
    fields: Mapping[str, object] | None
    words: str = ""


def merged(units: Iterable[Unit]) -> list[Unit]:
    """Merge consecutive units of the same call, so that each call has one."""
    found: dict[str, Unit] = {}
    for later in units:
        earlier = found.get(later.uuid)
        if earlier is None:
            found[later.uuid] = later
            continue
        last = later if later.is_over else earlier
        found[later.uuid] = replace(
            last,
            columns=later.columns,
            row_id=earlier.row_id,
            changed=earlier.changed | later.changed,
            request_body=earlier.request_body if earlier.request_body is not None else later.request_body,
            segments=[*earlier.segments, *later.segments],
            kept=earlier.kept or later.kept,
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
    fresh = [
        unit for unit in units if unit.is_over or unit.uuid not in rows or rows[unit.uuid].state == State.IN_FLIGHT
    ]
    ended_ids = [ids[unit.uuid] for unit in fresh if unit.is_over and unit.uuid in ids]
    contents.delete_answers(connection, ended_ids)
    contents.delete_segments(connection, ended_ids)
    begun = [unit for unit in fresh if not unit.is_over and unit.segments and unit.uuid in ids]
    idempotency.delete_segments_from(connection, [(ids[unit.uuid], unit.segments[0][0]) for unit in begun])
    return ids | put(connection, fresh, ids)


def put(connection: Connection, units: Sequence[Unit], known: dict[str, int]) -> dict[str, int]:
    """Write new rows, changed rows, bodies, streams and segments; `known` are the ids of existing rows."""
    listed = put_pieces(connection, units, known)
    new = [{**unit.columns, **parts.NONE, **listed[unit.uuid]} for unit in units if unit.uuid not in known]
    ids = known | exchanges.insert_exchanges(connection, new)
    changed = [unit.changed | listed[unit.uuid] | {"id": known[unit.uuid]} for unit in units if unit.uuid in known]
    for alike in by_columns([row for row in changed if len(row) > 1]).values():
        exchanges.update_exchanges(connection, alike)
    streams, segments = list[Values](), list[Values]()
    for unit in units:
        row_id = ids[unit.uuid]
        if not unit.is_over:
            segments += [contents.segment_row(row_id, *segment) for segment in unit.segments]
        elif unit.stream is not None:
            streams.append(contents.stream_row(row_id, unit.stream, unit.times, unit.texts))
    contents.delete_segments(connection, [ids[unit.uuid] for unit in units if unit.is_over and unit.kept])
    contents.insert_rows(connection, EVENT_STREAMS, streams)
    contents.insert_rows(connection, SEGMENTS, segments)
    return ids


def put_pieces(connection: Connection, units: Sequence[Unit], known: Container[str]) -> dict[str, Values]:
    """Store the bodies and headers of units; return the columns that refer to them, by uuid."""
    bodies = list[tuple[str, Side, Sequence[Piece]]]()
    for unit in units:
        # A row and its request are always stored together.
        if unit.request_body is not None and unit.uuid not in known:
            bodies.append((unit.uuid, "request", pieces_of(unit.request_body)))
        if unit.is_over and unit.response_body is not None:
            bodies.append((unit.uuid, "response", pieces_of(unit.response_body)))
    new = {unit.uuid: unit.columns for unit in units if unit.uuid not in known}
    answered = {unit.uuid: unit.columns for unit in units if unit.uuid in known and "response_headers" in unit.changed}
    return {unit.uuid: {} for unit in units} | shared_pieces.keep(connection, new, bodies, answered=answered)


def pieces_of(body: bytes | CutBody) -> Sequence[Piece]:
    """Return the pieces of a body."""
    return body.pieces if isinstance(body, CutBody) else parts.RECENT.pieces(body)


def by_columns(rows: list[Values]) -> dict[tuple[str, ...], list[Values]]:
    """Group rows by their columns, so that one statement can update each group."""
    groups: dict[tuple[str, ...], list[Values]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    return groups
