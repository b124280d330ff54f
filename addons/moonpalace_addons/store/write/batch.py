"""Turn tasks into units, at most one per call and batch, which can be stored again if the store fails."""

import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from moonpalace_addons.store.pricing.pricing import Pricing
from moonpalace_addons.store.records import exchanges, parts
from moonpalace_addons.store.tasks import Chunks, ExchangeEnded, ProxyEnded, RequestRead, ResponseStarted, Task
from moonpalace_addons.store.write import derive, gate
from moonpalace_addons.store.write.answers import Received
from moonpalace_addons.store.write.ongoing import Ongoing
from moonpalace_addons.store.write.recovery import died
from moonpalace_addons.store.write.storable import storable
from moonpalace_addons.store.write.units import Finished, Unit
from moonpalace_addons.wire.codings import encodings

logger = logging.getLogger(__name__)


class Batch:
    """The calls in flight, and the units to be written next."""

    def __init__(
        self,
        run_id: str,
        fingerprint_key: bytes,
        pricing: Pricing | None = None,
        *,
        reports_begun: bool = False,
        reads_words: bool = True,
    ) -> None:
        self.run_id = run_id
        self.pricing = pricing
        self.fingerprint_key = fingerprint_key
        self.reports_begun = reports_begun
        """Whether `finished` also returns calls in flight, once each."""
        self.reads_words = reads_words
        """Whether `finished` returns the user's last words, for which the whole of a request may have to be parsed."""
        self.calls: dict[str, Ongoing] = {}
        self.units: dict[str, Ongoing] = {}
        self.lost = 0
        """Calls that get no row because of a fault in MoonPalace."""
        self._finished: list[Finished] = []
        self._settled: list[str] = []

    @property
    def under_way(self) -> int:
        """Return the number of calls in flight."""
        return len(self.calls)

    @property
    def planned(self) -> int:
        """Return the number of units to be written."""
        return len(self.units)

    @property
    def weights(self) -> list[int]:
        """Return the approximate memory of each unit in bytes."""
        return [unit.weight for unit in self.units.values()]

    @property
    def size(self) -> int:
        """Return the approximate bytes of the units in a journal."""
        return sum(unit.size for unit in self.units.values())

    def absorb(self) -> int:
        """Take the new chunks of answers in flight; return the approximate memory of these answers in bytes."""
        for call in self.calls.values():
            try:
                if call.answer:
                    call.answer.absorb()
            except Exception:
                logger.exception("store: the answer to call %s could not be taken in", call.uuid)
        return sum(call.answer_weight for call in self.calls.values())

    def plan(self, tasks: Sequence[Task | ProxyEnded], *, keep: bool) -> None:
        """Update the units for these tasks and, with `keep`, for the received parts of answers in flight."""
        for _, alike in groupby(tasks, type):
            under_way = [(task, self._steps(task)) for task in alike]
            while under_way:
                under_way = [each for each in under_way if self._goes_on(*each)]
        for call in self.calls.values() if keep else ():
            try:
                if call.keep_answer():
                    self._add(call)
            except Exception:
                logger.exception("store: the answer to call %s could not be kept so far", call.uuid)

    def _take_chunks(self, chunks: Chunks) -> None:
        for uuid, times, lengths, data in chunks.by_call():
            call = self.calls.get(uuid)
            try:
                if call is not None and call.answer is not None:
                    call.answer.take(times, lengths, data)
            except Exception:
                logger.exception("store: the answer to call %s could not be taken in", uuid)

    def _steps(self, task: Task | ProxyEnded) -> Iterator[None]:
        """Take a task in steps.

        Each step is taken for all tasks of a kind before the next one: its code then stays in the processor's caches,
        which makes the beginning of a call a quarter faster.
        """
        match task:
            case Chunks():
                self._take_chunks(task)
            case ProxyEnded():
                self.plan([died(call.uuid, call.last_at) for call in self.calls.values()], keep=False)
            case RequestRead():
                yield from self._begin(task)
            case ResponseStarted() if call := self.calls.get(task.uuid):
                call.begin_answer(task)
            case ExchangeEnded() if call := self.calls.pop(task.uuid, None):
                yield from self._end(call, task)

    def _goes_on(self, task: Task | ProxyEnded, steps: Iterator[None]) -> bool:
        """Take the next step of a task; return whether there may be another one."""
        try:
            if next(steps, False) is None:
                return True
        except Exception:
            if isinstance(task, Chunks | ProxyEnded):
                raise
            logger.exception("store: call %s could not be read because of a fault in MoonPalace", task.uuid)
            if isinstance(task, RequestRead):
                self.lost += 1
                self._settled.append(task.uuid)
        if isinstance(task, ExchangeEnded):
            unit = self.units.get(task.uuid)
            if unit is None or not unit.is_over:
                self._settled.append(task.uuid)
        return False

    def _add(self, call: Ongoing) -> None:
        """Have a call written."""
        if call.uuid not in self.units:
            call.since = time.monotonic()
            self.units[call.uuid] = call

    def _begin(self, request: RequestRead) -> Iterator[None]:
        body, problem = encodings.decode(request.body, request.content_encoding)
        hidden, kept = gate.hidden_in(request)
        yield
        body, kinds, hidden = gate.masked_request(body, hidden)
        yield
        cut, outline = parts.RECENT.cut(body)
        yield
        fields, words = self._content(body, outline)
        yield
        warnings = [f"the request's body could not be decoded: {problem}"] if problem else []
        columns = derive.request_columns(request, fields, run_id=self.run_id, fingerprint_key=self.fingerprint_key)
        warnings += gate.warnings("request", kinds)
        columns |= kept | {"warnings": derive.packed(warnings)}
        yield
        self.calls[request.uuid] = call = Ongoing(
            request.uuid,
            derive.EMPTY | storable(columns, hidden),
            request_body=cut,
            secrets=hidden,
            fields=fields,
            words=words,
            warnings=warnings,
        )
        self._add(call)
        if self.pricing is not None:
            self.pricing.prepare(columns)

    def _content(self, body: bytes, outline: bytes) -> tuple[derive.Fields, str]:
        """Return the fields of a request and, if they are wanted, the user's last words, which may be in any part."""
        if not self.reads_words:
            return derive.request_fields(outline), ""
        fields, words = derive.request_content(outline)
        return (fields, words) if words or outline is body else derive.request_content(body)

    def _end(self, call: Ongoing, ended: ExchangeEnded) -> Iterator[None]:
        if ended.response:
            call.begin_answer(ended.response)
        yield
        answer = close_answer(call)
        yield
        yield from derive.finish_in_steps(
            call,
            ended,
            answer,
            call.fields or {},
            path=str(call.columns["path"]),
            warnings=call.warnings,
            hidden=call.secrets,
            coerced=bool(call.columns["is_coerced"]),
        )
        call.answer = None
        yield
        if self.pricing is not None:
            call.set(self.pricing.columns(call.columns))
        self._add(call)

    def is_due(self, before: float) -> bool:
        """Return whether there is a unit of a call that has ended, or one planned before the time `before`."""
        return any(unit.is_due(before) for unit in self.units.values())

    def portion(self, weight: int, max_units: int, before: float = math.inf) -> list[Unit]:
        """Return the first due units: about `weight` bytes, at most `max_units`, and at least one if any is due."""
        found = list[Unit]()
        for unit in self.units.values():
            if not unit.is_due(before):
                continue
            weight -= unit.weight
            if found and (weight < 0 or len(found) == max_units):
                break
            found.append(unit)
        return found

    def stored(self, ids: Mapping[str, int]) -> None:
        """Note that the units of these calls have been committed."""
        done = [self.units.pop(uuid) for uuid in list(self.units) if uuid in ids]
        self.note(done, ids)
        for unit in done:
            unit.drop_written()

    def note(self, done: Sequence[Unit], ids: Mapping[str, int]) -> None:
        """Note the row ids of committed units of this run."""
        for unit in done:
            row_id, is_new = ids[unit.uuid], unit.row_id is None
            for known in (self.calls.get(unit.uuid), self.units.get(unit.uuid)):
                if known is not None:
                    known.row_id = row_id
            if unit.is_over or (is_new and self.reports_begun):
                call = exchanges.own_exchange(unit.columns, row_id)
                self._finished.append(Finished(call, unit.fields, unit.words))
            if unit.is_over:
                self._settled.append(unit.uuid)

    def drop(self, uuid: str) -> None:
        """Drop the unit of a call, and the call unless it has a row."""
        unit = self.units.pop(uuid)
        if unit.row_id is None:
            self.calls.pop(uuid, None)
        self._leave(unit)

    def hand_over(self, uuids: Iterable[str]) -> None:
        """Drop the units of these calls, which are in a journal."""
        for uuid in uuids:
            self._leave(self.units.pop(uuid))

    def _leave(self, unit: Ongoing) -> None:
        unit.drop_written()
        if unit.is_over:
            self._settled.append(unit.uuid)

    def begin_again(self, fingerprint_key: bytes) -> None:
        """Treat everything as not stored, because the store has been replaced by one with this key."""
        self.fingerprint_key = fingerprint_key
        for call in self.calls.values():
            call.forget_stored()
        for unit in self.units.values():
            unit.row_id, unit.kept = None, False

    def finished(self) -> list[Finished]:
        """Return the calls that have ended and been stored since the last call."""
        done, self._finished = self._finished, []
        return done

    def settled(self) -> list[str]:
        """Return the calls that have ended and are stored, in a journal or lost since the last call."""
        done, self._settled = self._settled, []
        return done


def close_answer(call: Ongoing) -> Received | None:
    """Return the whole answer of a call; a bug of ours may lose the answer, but not the end of the row."""
    try:
        return call.answer.close() if call.answer else None
    except Exception:
        logger.exception("store: the answer to call %s is lost because of a fault in MoonPalace", call.uuid)
        return None
