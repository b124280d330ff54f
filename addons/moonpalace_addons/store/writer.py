"""The one thread that writes to the store: hooks hand tasks over, it stores them in batches and never raises.

A task costs the caller one append. The thread sleeps for `BATCH` seconds after the first task of a batch, so that
calls that begin and end together cost one insert, and so that it wakes at most twenty times a second. While calls are
under way it stores what has come of their answers every `KEEP` seconds, for the case that the proxy dies.
"""

import logging
import math
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from moonpalace_addons.store.batch import Batch
from moonpalace_addons.store.engine import BUSY_TIMEOUT, refusal, writing
from moonpalace_addons.store.host import host_name
from moonpalace_addons.store.records import identity, runs
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.store.recovery import recover
from moonpalace_addons.store.tasks import Task
from moonpalace_addons.version import __version__

logger = logging.getLogger(__name__)

BATCH = 0.04
KEEP = 0.5
HEARTBEAT = 5.0
RETRY_LEAST = 0.05
RETRY_MOST = 1.0
DRAIN_MOST = 30.0
JOIN_MOST = DRAIN_MOST + 2 * BUSY_TIMEOUT

LIVING: set[str] = set()
"""The runs of this process."""

type Observer = Callable[[Exchange], None]
"""Called on the writer's thread with each call that has ended, once its row is stored."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How far the writer is behind."""

    tasks: int
    trouble: str | None


class Writer:
    """Store what the hooks say, on a thread of its own.

    Making one finishes what dead proxies left and writes down the new run; raises StoreError if that is refused.
    """

    def __init__(self, engine: Engine, observer: Observer | None = None) -> None:
        self.engine = engine
        self.observer = observer
        self.run_id = str(uuid.uuid4())
        self.trouble: str | None = None
        self._tasks: deque[Task] = deque()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="moonpalace-writer", daemon=True)
        self._deadline = math.inf
        self._batch = Batch(self.run_id, self._begin_run())
        LIVING.add(self.run_id)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, task: Task) -> None:
        """Take a task; returns at once, from any thread."""
        self._tasks.append(task)
        # Setting an event that is set costs a lock and, worse, a switch of threads: both are saved here.
        if not self._wake.is_set():
            self._wake.set()

    def backlog(self) -> Backlog:
        """Return how many tasks wait, and why if something keeps them waiting."""
        return Backlog(len(self._tasks), self.trouble)

    def stop(self) -> bool:
        """Store all that waits, write down the end of the run, and stop; return False if something could not be."""
        self._deadline = min(self._deadline, time.monotonic() + DRAIN_MOST)
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_MOST)
        LIVING.discard(self.run_id)
        return not (self._tasks or self._batch.planned or self._thread.is_alive())

    def _begin_run(self) -> bytes:
        try:
            with writing(self.engine) as connection:
                recover(connection, LIVING)
                runs.begin_run(connection, self._run_row())
                return identity.fingerprint_key(connection)
        except DBAPIError as error:
            raise refusal("cannot write to", self.engine.url, error) from error

    def _run_row(self) -> Values:
        now = microseconds()
        return {
            "id": self.run_id,
            "host": host_name(),
            "pid": os.getpid(),
            "version": __version__,
            "started_at": now,
            "heartbeat_at": now,
            "ended_at": None,
        }

    def _work(self) -> None:
        beat = kept = time.monotonic()
        while not self._stopping.is_set():
            self._wake.wait(KEEP if self._batch.under_way else HEARTBEAT)
            if self._wake.is_set() and not self._stopping.is_set():
                self._stopping.wait(BATCH)
            self._wake.clear()
            now = time.monotonic()
            keep, live = now - kept >= KEEP, now - beat >= HEARTBEAT
            kept = now if keep else kept
            beat = now if live else beat
            self._guarded(keep=keep, live=live)
        self._guarded(keep=True, ended=True)
        if self._batch.planned:
            logger.error("store: %d calls could not be stored: %s", self._batch.planned, self.trouble)

    def _guarded(self, *, keep: bool = False, live: bool = False, ended: bool = False) -> None:
        """Store a batch; whatever goes wrong stays here, since a thread that has died stores nothing more."""
        try:
            self._store(self._take(), keep=keep, live=live, ended=ended)
        except Exception:
            logger.exception("store: a batch could not be stored because of a fault in MoonPalace")

    def _take(self) -> list[Task]:
        return [self._tasks.popleft() for _ in range(len(self._tasks))]

    def _store(self, tasks: list[Task], *, keep: bool, live: bool, ended: bool) -> None:
        """Write a batch, however long that takes, and tell the observer of the calls that have ended in it."""
        self._batch.plan(tasks, keep=keep)
        if self._batch.planned or live or ended:
            self._commit(live=live, ended=ended)
        for exchange in self._batch.finished():
            self._observe(exchange)

    def _commit(self, *, live: bool, ended: bool) -> None:
        """Commit a batch in one transaction; if the database refuses it, call by call."""

        def write(connection: Connection) -> None:
            self._batch.store(connection)
            self._touch(connection, live=live, ended=ended)

        try:
            if self._patiently(write):
                self._batch.stored()
        except Exception as error:  # noqa: BLE001 - whatever it is, the calls of the batch must get their rows
            logger.warning("store: a batch is refused (%s), storing its calls one by one", type(error).__name__)
            for uuid in list(self._batch.units):
                self._commit_one(uuid)
            self._patiently(partial(self._touch, live=live, ended=ended))

    def _commit_one(self, uuid: str) -> None:
        try:
            if self._patiently(partial(self._batch.store_one, uuid=uuid)):
                self._batch.stored_one(uuid)
        except Exception as error:  # noqa: BLE001 - one call that is refused must not take the others with it
            self._batch.drop(uuid)
            logger.error("store: call %s is lost, the database refuses it: %s", uuid, type(error).__name__)  # noqa: TRY400

    def _patiently(self, write: Callable[[Connection], None]) -> bool:
        """Write in one transaction, again and again while the store is locked, full or gone; False if told to give up.

        What is no matter of waiting is raised.
        """
        delay = RETRY_LEAST
        while True:
            try:
                with writing(self.engine) as connection:
                    write(connection)
            except DBAPIError as error:
                if not (isinstance(error, OperationalError) or error.connection_invalidated):
                    raise
                self._report(error)
            else:
                self._recovered()
                return True
            if time.monotonic() > self._deadline:
                return False
            (time.sleep if self._stopping.is_set() else self._stopping.wait)(delay)
            delay = min(delay * 2, RETRY_MOST)

    def _touch(self, connection: Connection, *, live: bool, ended: bool) -> None:
        if live or ended:
            runs.touch_run(connection, self.run_id, microseconds(), ended=ended)

    def _report(self, error: DBAPIError) -> None:
        words = str(error.orig).strip().splitlines()[0]
        if self.trouble is None:
            logger.warning("store: %s; calls go on, their rows wait in memory", words)
        self.trouble = words

    def _recovered(self) -> None:
        if self.trouble is not None:
            logger.warning("store: works again, nothing was lost")
            self.trouble = None

    def _observe(self, exchange: Exchange) -> None:
        if self.observer is None:
            return
        try:
            self.observer(exchange)
        except Exception:
            logger.exception("store: what was to be told of call %d failed", exchange.id)


def microseconds() -> int:
    """Return the time as microseconds since the epoch."""
    return time.time_ns() // 1000
