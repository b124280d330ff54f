"""Turn a batch of tasks into rows, each call at most once a batch, ready to be stored again if the store refuses."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from moonpalace_addons.store import derive, records
from moonpalace_addons.store.engine import writing
from moonpalace_addons.store.ongoing import Ongoing
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, Task
from moonpalace_addons.wire import encodings, secrets

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Unit:
    """What a batch has to write for one call; `row_id` is known once it has been written."""

    call: Ongoing
    columns: records.Values
    request_body: bytes | None = None
    outcome: derive.Outcome | None = None
    segment: tuple[bytes, Sequence[tuple[int, int]]] | None = None
    segment_number: int = 0
    row_id: int = 0


class Batch:
    """The calls under way, and what is to be written next for them."""

    def __init__(self, run_id: str, fingerprint_key: bytes) -> None:
        self.run_id = run_id
        self.fingerprint_key = fingerprint_key
        self.calls: dict[str, Ongoing] = {}
        self.units: dict[str, Unit] = {}
        self._finished: list[records.Exchange] = []

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
            except Exception:  # noqa: BLE001 - one call that we cannot handle must not take the others with it
                logger.exception("store: call %s could not be read because of a fault in MoonPalace", task.uuid)
        if keep:
            for call in self.calls.values():
                self._keep(call)

    def _take(self, task: Task) -> None:
        match task:
            case RequestRead():
                self._begin(task)
            case ResponseStarted() if call := self.calls.get(task.uuid):
                call.begin_answer(task)
            case ExchangeEnded() if call := self.calls.pop(task.uuid, None):
                self._end(call, task)

    def _unit(self, call: Ongoing) -> Unit:
        return self.units.setdefault(call.request.uuid, Unit(call, {}))

    def _begin(self, request: RequestRead) -> None:
        body, problem = encodings.decode(request.body, request.content_encoding)
        body = secrets.mask(body, request.secrets)
        fields = derive.request_fields(body)
        call = self.calls[request.uuid] = Ongoing(request, fields)
        if problem:
            call.warnings.append(f"the request's body could not be decoded: {problem}")
        call.columns = derive.storable(
            derive.request_columns(request, fields, run_id=self.run_id, fingerprint_key=self.fingerprint_key)
        )
        unit = self._unit(call)
        unit.columns = call.columns
        unit.request_body = body

    def _end(self, call: Ongoing, ended: ExchangeEnded) -> None:
        if ended.response:
            call.begin_answer(ended.response)
        unit = self._unit(call)
        unit.outcome = conclude(ended, call)
        call.columns = call.columns | derive.storable(unit.outcome.columns)
        unit.columns = unit.columns | derive.storable(unit.outcome.columns)

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
            headers = derive.storable(derive.header_columns(answer.received()))
            unit.columns = unit.columns | headers
            call.columns = call.columns | headers
        if data:
            unit.segment, unit.segment_number = (data, chunks), call.segments
            call.segments += 1

    def store(self, connection: Connection) -> None:
        """Write everything planned, in the connection's transaction."""
        store_units(connection, list(self.units.values()))

    def stored(self) -> None:
        """Note that what was planned has been committed."""
        for unit in self.units.values():
            unit.call.row_id = unit.row_id
            if unit.outcome is not None:
                self._finished.append(records.to_exchange(unit.call.columns | {"id": unit.row_id}))
        self.units.clear()

    def finished(self) -> list[records.Exchange]:
        """Return the calls that have ended and been stored since the last call of this method."""
        done, self._finished = self._finished, []
        return done

    def store_singly(self, engine: Engine) -> None:
        """Write each planned call in a transaction of its own, and drop those that the database refuses."""
        for uuid, unit in list(self.units.items()):
            try:
                with writing(engine) as connection:
                    store_units(connection, [unit])
            except Exception as error:  # noqa: BLE001 - whatever it is, the other calls must get their rows
                del self.units[uuid]
                logger.error("store: call %s is lost, the database refuses it: %s", uuid, type(error).__name__)  # noqa: TRY400
        self.stored()


def conclude(ended: ExchangeEnded, call: Ongoing) -> derive.Outcome:
    """Return the outcome of a call; if reading its answer fails, at least what needs no reading."""
    received = call.answer.close() if call.answer else None
    try:
        return derive.outcome(ended, received, call.fields, warnings=call.warnings)
    except Exception as error:
        logger.exception("store: an answer could not be read because of a fault in MoonPalace; its bytes are kept")
        return derive.unread_outcome(ended, received, f"not read because of a fault in MoonPalace: {error!r}")


def store_units(connection: Connection, units: list[Unit]) -> None:
    """Write units: new rows, changed rows, bodies, streams, segments."""
    new = [unit for unit in units if unit.call.row_id is None]
    ids = records.insert_exchanges(connection, [unit.columns for unit in new])
    for unit in units:
        # Noted with the call only after the commit: a transaction that fails is run again and gives a new id.
        unit.row_id = unit.call.row_id or ids[unit.call.request.uuid]
    changed = [unit.columns | {"id": unit.row_id} for unit in units if unit.call.row_id is not None and unit.columns]
    for alike in by_columns(changed).values():
        records.update_exchanges(connection, alike)
    bodies = [row for unit in units for row in body_rows(unit)]
    streams = [row for unit in units for row in stream_rows(unit)]
    segments = [
        records.segment_row(unit.row_id, unit.segment_number, *unit.segment)
        for unit in units
        if unit.segment is not None and unit.outcome is None
    ]
    records.delete_segments(connection, [unit.row_id for unit in units if unit.outcome and unit.call.segments])
    records.insert_contents(connection, bodies, streams, segments)


def by_columns(rows: list[records.Values]) -> dict[tuple[str, ...], list[records.Values]]:
    """Group rows that have the same columns, which one statement can then update."""
    groups: dict[tuple[str, ...], list[records.Values]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    return groups


def body_rows(unit: Unit) -> list[records.Values]:
    """Return the rows of `bodies` for a unit."""
    sides = {"request": unit.request_body, "response": unit.outcome.body if unit.outcome else None}
    return [records.body_row(unit.row_id, side, data) for side, data in sides.items() if data is not None]


def stream_rows(unit: Unit) -> list[records.Values]:
    """Return the rows of `event_streams` for a unit."""
    if unit.outcome is None or unit.outcome.stream is None or unit.call.answer is None:
        return []
    return [records.stream_row(unit.row_id, unit.outcome.stream, unit.call.answer.chunks)]
