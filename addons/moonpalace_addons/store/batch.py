"""Turn a batch of tasks into rows, each call at most once a batch, ready to be stored again if the store refuses."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from moonpalace_addons.store import derive
from moonpalace_addons.store.ongoing import Ongoing
from moonpalace_addons.store.reading import Received
from moonpalace_addons.store.records import contents, exchanges
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.storable import storable
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, Task
from moonpalace_addons.wire import encodings, secrets

logger = logging.getLogger(__name__)

type Segment = tuple[int, bytes, Sequence[tuple[int, int]]]
"""Number, bytes and arrival times of a piece of an answer under way."""


@dataclass(slots=True)
class Unit:
    """What a batch has to write for one call; `row_id` is known once it has been written.

    A new row is written whole, from the call's columns; of a row that is there, `changed` is.
    """

    call: Ongoing
    changed: Values = field(default_factory=dict)
    request_body: bytes | None = None
    outcome: derive.Outcome | None = None
    segments: list[Segment] = field(default_factory=list)
    row_id: int = 0


class Batch:
    """The calls under way, and what is to be written next for them."""

    def __init__(self, run_id: str, fingerprint_key: bytes) -> None:
        self.run_id = run_id
        self.fingerprint_key = fingerprint_key
        self.calls: dict[str, Ongoing] = {}
        self.units: dict[str, Unit] = {}
        self._finished: list[Exchange] = []

    @property
    def under_way(self) -> bool:
        """Tell whether any call is under way."""
        return bool(self.calls)

    @property
    def planned(self) -> int:
        """Return how many calls have something to be written."""
        return len(self.units)

    def plan(self, tasks: Sequence[Task], *, keep: bool) -> None:
        """Work out what to write for these tasks and, with `keep`, for what has come of answers under way."""
        for task in tasks:
            try:
                self._take(task)
            except Exception:
                logger.exception("store: call %s could not be read because of a fault in MoonPalace", task.uuid)
        for call in self.calls.values() if keep else ():
            try:
                self._keep(call)
            except Exception:
                logger.exception("store: the answer to call %s could not be kept so far", call.uuid)

    def _take(self, task: Task) -> None:
        match task:
            case RequestRead():
                self._begin(task)
            case ResponseStarted() if call := self.calls.get(task.uuid):
                call.begin_answer(task)
            case ExchangeEnded() if call := self.calls.pop(task.uuid, None):
                self._end(call, task)

    def _unit(self, call: Ongoing) -> Unit:
        unit = self.units.get(call.uuid)
        if unit is None:
            unit = self.units[call.uuid] = Unit(call)
        return unit

    def _begin(self, request: RequestRead) -> None:
        body, problem = encodings.decode(request.body, request.content_encoding)
        body = secrets.mask(body, request.secrets)
        fields = derive.request_fields(body)
        warnings = [f"the request's body could not be decoded: {problem}"] if problem else []
        columns = derive.request_columns(request, fields, run_id=self.run_id, fingerprint_key=self.fingerprint_key)
        columns["warnings"] = derive.packed(warnings)
        call = Ongoing(request.uuid, request.secrets, fields, storable(columns, request.secrets), warnings)
        self.calls[request.uuid] = call
        self._unit(call).request_body = body

    def _end(self, call: Ongoing, ended: ExchangeEnded) -> None:
        if ended.response:
            call.begin_answer(ended.response)
        unit = self._unit(call)
        unit.outcome = derive.outcome(
            ended, close_answer(call), call.fields, warnings=call.warnings, hidden=call.secrets
        )
        change(unit, unit.outcome.columns)

    def _keep(self, call: Ongoing) -> None:
        answer = call.answer
        if answer is None:
            return
        data, chunks = answer.fresh()
        if not data and call.answer_announced:
            return
        unit = self._unit(call)
        if not call.answer_announced:
            call.answer_announced = True
            change(unit, derive.header_columns(answer.received()))
        if data:
            unit.segments.append((call.segments, data, chunks))
            call.segments += 1

    def store(self, connection: Connection) -> None:
        """Write everything planned, in the connection's transaction."""
        store_units(connection, list(self.units.values()))

    def stored(self) -> None:
        """Note that what was planned has been committed."""
        for unit in self.units.values():
            self._note(unit)
        self.units.clear()

    def store_one(self, connection: Connection, uuid: str) -> None:
        """Write what is planned for one call, in the connection's transaction.

        What is there of its answer is replaced: another proxy may have taken this one for dead and finished the row.
        """
        unit = self.units[uuid]
        if unit.call.row_id is not None and unit.outcome is not None:
            contents.delete_answers(connection, [unit.call.row_id])
        store_units(connection, [unit])

    def stored_one(self, uuid: str) -> None:
        """Note that what was planned for one call has been committed."""
        self._note(self.units.pop(uuid))

    def drop(self, uuid: str) -> None:
        """Forget what was planned for one call, and the call unless it has a row."""
        if self.units.pop(uuid).call.row_id is None:
            self.calls.pop(uuid, None)

    def _note(self, unit: Unit) -> None:
        unit.call.row_id = unit.row_id
        if unit.outcome is not None:
            self._finished.append(exchanges.to_exchange(unit.call.columns | {"id": unit.row_id}))

    def finished(self) -> list[Exchange]:
        """Return the calls that have ended and been stored since the last call of this method."""
        done, self._finished = self._finished, []
        return done


def change(unit: Unit, columns: Values) -> None:
    """Change columns of the row of a unit's call."""
    fit = storable(columns, unit.call.secrets)
    unit.call.columns |= fit
    unit.changed |= fit


def close_answer(call: Ongoing) -> Received | None:
    """Return all that came of a call's answer; a fault of ours costs the answer but not the row's end."""
    try:
        return call.answer.close() if call.answer else None
    except Exception:
        logger.exception("store: the answer to call %s is lost because of a fault in MoonPalace", call.uuid)
        return None


def store_units(connection: Connection, units: list[Unit]) -> None:
    """Write units: new rows, changed rows, bodies, streams, segments."""
    new = [unit.call.columns for unit in units if unit.call.row_id is None]
    ids = exchanges.insert_exchanges(connection, new)
    for unit in units:
        # Noted with the call only after the commit: a transaction that fails is run again and gives a new id.
        unit.row_id = unit.call.row_id or ids[unit.call.uuid]
    changed = [unit.changed | {"id": unit.row_id} for unit in units if unit.call.row_id is not None and unit.changed]
    for alike in by_columns(changed).values():
        exchanges.update_exchanges(connection, alike)
    bodies = [body for unit in units for body in unit_bodies(unit)]
    streams = [stream for unit in units for stream in unit_streams(unit)]
    segments = [
        contents.Segment(unit.row_id, *segment) for unit in units if unit.outcome is None for segment in unit.segments
    ]
    contents.delete_segments(connection, [unit.row_id for unit in units if unit.outcome and unit.call.segments])
    contents.insert_contents(connection, bodies, streams, segments)


def by_columns(rows: list[Values]) -> dict[tuple[str, ...], list[Values]]:
    """Group rows that have the same columns, which one statement can then update."""
    groups: dict[tuple[str, ...], list[Values]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    return groups


def unit_bodies(unit: Unit) -> list[contents.Body]:
    """Return the bodies that a unit brings."""
    sides: tuple[tuple[contents.Side, bytes | None], ...] = (
        ("request", unit.request_body),
        ("response", unit.outcome.body if unit.outcome else None),
    )
    return [contents.Body(unit.row_id, side, data) for side, data in sides if data is not None]


def unit_streams(unit: Unit) -> list[contents.Stream]:
    """Return the stream that a unit brings, if it does."""
    if unit.outcome is None or unit.outcome.stream is None or unit.call.answer is None:
        return []
    return [contents.Stream(unit.row_id, unit.outcome.stream, unit.call.answer.chunks)]
