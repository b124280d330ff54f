"""The single thread that writes to the store: it takes tasks, stores them in batches and never raises.

A task costs the caller one append. The thread sleeps for `BATCH_INTERVAL` seconds after the first task of a batch,
minus the duration of the last batch, so that calls that begin and end together cost one insert. Every
`SEGMENT_INTERVAL` seconds it stores the received parts of answers in flight, in case the machine crashes.

A store that is locked, full, read-only, damaged or missing is retried while calls continue and their rows wait: in
memory, and above `MEMORY_LIMIT` bytes, after `SPILL_DELAY` seconds or when the proxy ends, in a journal next to the
store. The same happens if calls arrive faster than the store accepts them. Nothing is ever dropped: if the journal
cannot be written either, memory grows; a call that the store refuses for good is kept in a file.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine

from moonpalace_addons.store.database.engine import BUSY_TIMEOUT
from moonpalace_addons.store.journal import journal_place
from moonpalace_addons.store.journal.overflow import Overflow, Source
from moonpalace_addons.store.pricing.pricing import Pricing
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.tasks import ProxyEnded, RequestRead, Task
from moonpalace_addons.store.write.attempts import Attempts, StoreResult
from moonpalace_addons.store.write.batch import Batch
from moonpalace_addons.store.write.host import new_run
from moonpalace_addons.store.write.memory import MemoryUse
from moonpalace_addons.store.write.own_run import OwnRun
from moonpalace_addons.store.write.pace import Pace
from moonpalace_addons.store.write.units import Finished, Unit

logger = logging.getLogger(__name__)

BATCH_INTERVAL = 0.04
"""Seconds between the beginnings of batches: a call in a batch of 50 costs a third less than in one of 10.

With the time that tasks wait in the proxy and that storing takes, an answer is on disk after 100 ms.
"""
MIN_BATCH_INTERVAL = 0.01
HOLD_TIME = 0.2
"""Seconds before a call in flight is stored, so that one that ends by then is written once and not twice.

Even short calls take a tenth of a second where a machine is busy with many of them.
"""
SEGMENT_INTERVAL = 0.5
HEARTBEAT_INTERVAL = 5.0
JOURNAL_SCAN_INTERVAL = 60.0
RETRY_MIN_DELAY = 0.05
RETRY_MAX_DELAY = 1.0
SPILL_DELAY = 60.0
PLAN_TIME_LIMIT = 0.1
"""Seconds of a turn for processing tasks, so that calls are stored and confirmed while many more wait."""
PLAN_SLICE = 50
"""Tasks between checks of the clock."""
DRAIN_TIMEOUT = 30.0
JOURNALED_DRAIN_TIMEOUT = 5.0
JOIN_TIMEOUT = DRAIN_TIMEOUT + 2 * BUSY_TIMEOUT

type Observer = Callable[[Finished], None]
"""Called on the writer's thread with each ended call, once its row is stored, and if wanted with those in flight."""

type Settle = Callable[[list[str]], None]
"""Called on the writer's thread with the uuids of ended calls that are safe, or lost for good."""


class Writer:
    """Store the tasks of hooks, on a thread of its own.

    The constructor finishes the calls of dead proxies and records the run; raises StoreError if that fails. `home` is
    the folder for the journal of a store that is not a file, `run` the row of the proxy's run if that is another
    process. With `key`, the key of the store's fingerprints, a store that is unavailable at first is retried instead.
    `pricing` works out what calls cost. With `observes_begun` the observer also gets each call in flight, once, and
    without `observes_words` no words of the user. At each heartbeat `status` gives further columns of the run; it must
    not raise.
    """

    def __init__(
        self,
        engine: Engine,
        observer: Observer | None = None,
        home: Path | None = None,
        *,
        run: Values | None = None,
        settled: Settle | None = None,
        key: bytes | None = None,
        pricing: Pricing | None = None,
        observes_begun: bool = False,
        observes_words: bool = True,
        status: Callable[[], Values] = dict,
    ) -> None:
        self.engine = engine
        self.observer = observer
        self.settled = settled
        self._run = OwnRun(engine, run or new_run(), pricing, status)
        self._tasks: deque[Task | ProxyEnded] = deque()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="moonpalace-writer", daemon=True)
        self._deadline = math.inf
        self._memory = MemoryUse()
        self._pace = Pace()
        self._lost = 0
        self._delay = RETRY_MIN_DELAY
        self._attempts = Attempts(engine, self._follow_store)
        self._overflow = Overflow(journal_place.place(engine.url, home), self._run.row)
        self._batch = Batch(
            self._run.id, self._begun(key), pricing, reports_begun=observes_begun, reads_words=observes_words
        )
        self._kept_at = time.monotonic()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, task: Task | ProxyEnded) -> None:
        """Queue a task; returns at once, thread-safe."""
        self._tasks.append(task)
        # Setting an event that is already set costs a lock and a thread switch.
        if not self._wake.is_set():
            self._wake.set()

    def put_all(self, tasks: Sequence[Task]) -> None:
        """Queue tasks that came together."""
        self._tasks.extend(tasks)
        self._wake.set()

    @property
    def outage(self) -> str | None:
        """Return why the store is unavailable, None if it is available."""
        return self._attempts.outage.words

    @property
    def lost(self) -> int:
        """Return the number of calls that will get no row; while it runs, among the tasks processed so far."""
        return self._lost + self._batch.lost

    def stop(self) -> bool:
        """Store everything that waits, record the end of the run, and stop; return False if something is lost.

        What the store does not accept in time is in the journal, and not lost.
        """
        self._deadline = min(self._deadline, time.monotonic() + DRAIN_TIMEOUT)
        self._stopping.set()
        self._wake.set()
        left = len(self._tasks) + 1
        while self._thread.is_alive() and len(self._tasks) < left:
            left = len(self._tasks)
            self._thread.join(JOIN_TIMEOUT)
        self._run.end()
        return not (self._tasks or self._batch.planned or self.lost or self._thread.is_alive())

    @property
    def fingerprint_key(self) -> bytes:
        """Return the store's key for fingerprints of API keys."""
        return self._batch.fingerprint_key

    def _begun(self, key: bytes | None) -> bytes:
        """Record the run and return the store's key; with a known key, an unavailable store is retried later."""
        try:
            return self._run.begin()
        except Exception as error:
            if key is None:
                raise
            self._attempts.outage.report(error)
            return key

    def _work(self) -> None:
        beat = time.monotonic()
        looked = -math.inf
        while not self._stopping.is_set():
            now = time.monotonic()
            live, look = now - beat >= HEARTBEAT_INTERVAL, now - looked >= JOURNAL_SCAN_INTERVAL
            beat = now if live else beat
            looked = now if look else looked
            keep = now - self._kept_at >= SEGMENT_INTERVAL
            self._kept_at = now if keep else self._kept_at
            self._guarded(partial(self._turn, keep=keep, live=live, look=look))
            self._sleep(time.monotonic() - now)
        self._guarded(self._drain)
        self._overflow.close()

    def _sleep(self, took: float) -> None:
        """Wait for the next turn, after one that took `took` seconds."""
        if self.outage is not None:
            self._stopping.wait(self._delay)
            self._delay = min(self._delay * 2, RETRY_MAX_DELAY)
            return
        self._delay = RETRY_MIN_DELAY
        if self._overflow.source() is not None:
            self._stopping.wait(max(0.0, MIN_BATCH_INTERVAL - took))
            return
        is_behind = bool(self._tasks) or self._batch.is_due(self._due_before())
        if not is_behind:
            self._wake.wait(
                HOLD_TIME if self._batch.planned else SEGMENT_INTERVAL if self._batch.under_way else HEARTBEAT_INTERVAL
            )
        if not self._stopping.is_set():
            # Tasks that arrive while a batch is stored have already waited for that long.
            self._stopping.wait(max(0.0 if is_behind else MIN_BATCH_INTERVAL, BATCH_INTERVAL - took))
        self._wake.clear()

    def _due_before(self, *, ended: bool = False) -> float:
        """Return the time since which calls in flight are held back; during an outage none are."""
        return math.inf if ended or self.outage is not None else time.monotonic() - HOLD_TIME

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run `work` and log any error, because the thread must survive."""
        try:
            work()
        except Exception:
            logger.exception("store: a batch could not be stored because of a fault in MoonPalace")

    def _turn(self, *, keep: bool, live: bool, look: bool) -> None:
        """Process new tasks and store what can be stored."""
        if look:
            self._overflow.claim_abandoned()
        self._plan(keep=keep)
        if self._push(live=live):
            self._memory.give_back()

    def _plan(self, *, keep: bool = False, ended: bool = False) -> None:
        end = time.monotonic() + PLAN_TIME_LIMIT
        self._plan_tasks()
        while self._tasks and time.monotonic() < end:
            self._plan_tasks()
        # Segments that cannot be stored would be in memory twice.
        self._batch.plan((), keep=ended or (keep and self.outage is None))
        is_out = self.outage is not None
        if is_out:  # a call is safe once it is in a journal, however little memory it takes
            weight = counted = self._batch.size + self._batch.absorb()
        else:
            weights = self._batch.weights
            weight = sum(weights)
            # One large call does not count, because packing it for a journal takes more memory than it does.
            counted = weight - max(weights, default=0)
        is_too_much = self._memory.is_too_much(weight, counted, at_once=is_out)
        if is_too_much or self._attempts.outage.duration > SPILL_DELAY:
            self._spill()

    def _plan_tasks(self) -> None:
        tasks = [self._tasks.popleft() for _ in range(min(len(self._tasks), PLAN_SLICE))]
        try:
            self._batch.plan(tasks, keep=False)
        except Exception:
            self._lost += sum(isinstance(task, RequestRead) for task in tasks)
            raise

    def _spill(self) -> None:
        added = self._overflow.add(list(self._batch.units.values()))
        self._batch.hand_over([unit.uuid for unit in added])

    def _push(self, *, live: bool = False, ended: bool = False) -> bool:
        """Store what waits, this run's journal first because it is older; return True once nothing waits."""
        try:
            source = self._overflow.source()
            if source is not None and (self._is_ours(source) or not ended):
                taken = self._overflow.take(source, partial(self._store_units, is_own=source.is_own), self._pace)
                if source.is_own or not taken:
                    return False
                if source.journal.path not in self._overflow.paths:
                    self._attempts.try_to(self._run.recover)  # calls of which the journal only had the beginning
            self._commit(live=live, ended=ended)
        finally:
            for finished in self._batch.finished():
                self._observe(finished)
            self._settle()
        left = self._overflow.source() if ended else None
        is_stored = not self._batch.is_due(self._due_before(ended=ended))
        is_done = is_stored and self.outage is None and (left is None or not self._is_ours(left))
        if is_done:
            self._attempts.outage.caught_up()
        return is_done

    def _is_ours(self, source: Source) -> bool:
        """Return whether a journal belongs to this run, possibly to an earlier process of it."""
        return source.journal.run["id"] == self._run.id

    def _commit(self, *, live: bool, ended: bool) -> None:
        units = self._batch.portion(self._pace.weight, self._pace.calls, self._due_before(ended=ended))
        ended = ended and len(units) == self._batch.planned
        touch = partial(self._touch, live=live, ended=ended)
        if not units:
            if live or ended:
                self._attempts.try_to(touch)
            return
        # A failed transaction may have been committed, with the response lost on the way.
        taken = self._timed(lambda: self._attempts.store(units, self._run.row, touch, again=self.outage is not None))
        self._count(units, taken)
        self._batch.stored(taken.ids)
        self._give_up([unit for unit in units if unit.uuid in taken.refused], taken.refused)
        if (live or ended) and taken.refused and not taken.ids:  # the update of the run failed with them
            self._attempts.try_to(touch)

    def _timed(self, store: Callable[[], StoreResult]) -> StoreResult:
        """Run `store` and adapt the pace to its duration."""
        began = time.monotonic()
        taken = store()
        self._pace.note(time.monotonic() - began)
        return taken

    def _count(self, units: Sequence[Unit], taken: StoreResult) -> None:
        self._attempts.outage.count(sum(unit.is_over and unit.uuid in taken.ids for unit in units))

    def _store_units(self, units: Sequence[Unit], run: Values, *, is_own: bool) -> list[str] | None:
        """Store units from a journal; return the refused ones, None if some have to be retried."""
        taken = self._timed(lambda: self._attempts.store(units, run, lambda _: None, again=True))
        if is_own:
            self._count(units, taken)
            self._batch.note([unit for unit in units if unit.uuid in taken.ids], taken.ids)
        settled = taken.ids.keys() | taken.refused.keys()
        return list(taken.refused) if all(unit.uuid in settled for unit in units) else None

    def _give_up(self, units: Sequence[Unit], errors: Mapping[str, Exception]) -> None:
        """Keep calls that the store refuses for good in a file, for inspection."""
        kept = self._overflow.keep(units) if units else None
        for unit in units:
            fate = "is lost" if kept is None else f"is kept in {kept}"
            name = type(errors[unit.uuid]).__name__
            logger.error("store: call %s %s, the database refuses it: %s", unit.uuid, fate, name)
            self._lost += kept is None
            self._batch.drop(unit.uuid)

    def _drain(self) -> None:
        """Store everything; what the store does not accept in time goes to the journal."""
        self._overflow.claim_abandoned()
        while self._tasks:
            self._plan()
            if self.outage is not None or time.monotonic() > self._deadline:
                self._spill()
                self._settle()
            else:
                self._push()
        self._plan(ended=True)
        delay, is_safe = RETRY_MIN_DELAY, False
        while not self._push(ended=True) and time.monotonic() <= self._deadline:
            if self.outage is None:
                continue
            if not is_safe:
                self._spill()
                is_safe = not self._batch.planned
                self._deadline = (
                    min(self._deadline, time.monotonic() + JOURNALED_DRAIN_TIMEOUT) if is_safe else self._deadline
                )
            time.sleep(delay)
            delay = min(delay * 2, RETRY_MAX_DELAY)
        if self._batch.planned:
            self._spill()
        self._settle()
        if self._batch.planned:
            logger.error("store: %d calls could not be stored: %s", self._batch.planned, self.outage)
        if self._overflow.own is not None:
            logger.warning("store: calls that could not be stored wait in %s for the next start", self._overflow.own)

    def _follow_store(self) -> None:
        """Store everything again if the store has been replaced by another one."""
        if (key := self._run.follow()) is not None:
            self._batch.begin_again(key)

    def _touch(self, connection: Connection, *, live: bool, ended: bool) -> None:
        if live or ended:
            self._run.touch(connection, ended=ended)

    def _settle(self) -> None:
        uuids = self._batch.settled()
        if uuids and self.settled is not None:
            self.settled(uuids)

    def _observe(self, finished: Finished) -> None:
        if self.observer is None:
            return
        try:
            self.observer(finished)
        except Exception:
            logger.exception("store: call %d could not be logged", finished.call.id)
