"""The proxy's end: queue tasks from hooks, send them to the writer's process, and restart it if it dies.

A task costs the caller one append, a chunk not even a call: a thread collects tasks `BATCH_INTERVAL` seconds after the
first, and chunks every `STREAM_INTERVAL` seconds while answers are in flight, and sends them in one message. Tasks are
kept until their calls are confirmed as safe, and replayed to the next process if this one dies.

At most `WINDOW_SIZE` bytes of ended but unconfirmed calls are sent. If more calls arrive than the writer can store, or
than fit while it restarts, or if it does not read what is sent, further tasks are spooled (`spool`), to disk if they
are many, so that neither process fills the memory.
"""

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.tasks import Chunks, ExchangeEnded, ResponseStarted, Task
from moonpalace_addons.store.write import memory
from moonpalace_addons.store.write.memory import WINDOW_SIZE
from moonpalace_addons.writer_process.messages import (
    Confirmed,
    Opening,
    Ready,
    Refused,
    RowLine,
    Stop,
    Stopped,
    packed,
    size_of,
)
from moonpalace_addons.writer_process.process import WriterProcess
from moonpalace_addons.writer_process.spool import DamagedError, Spool
from moonpalace_addons.writer_process.unconfirmed import Unconfirmed

logger = logging.getLogger(__name__)

BATCH_INTERVAL = 0.015
STREAM_INTERVAL = 0.05
RESTART_MIN_DELAY = 0.1
RESTART_MAX_DELAY = 10.0
STOP_TIMEOUT = 50.0
"""Seconds without progress after which stopping gives up: more than the writer needs for a store that hangs."""
NOTICE_INTERVAL = 10.0
"""Seconds between log lines while stopping takes long."""

PORTION_SIZE = 2_000_000
"""Approximate bytes of requests and of ended answers that are handled at a time, and of chunks per message."""
WINDOW_TIMEOUT = 5.0
"""Seconds without a confirmed call after which stopping ignores the window."""


class WriterClient:
    """Write calls to the store in a separate process. The constructor starts it and raises StoreError if that fails.

    `on_row` is called on another thread with a line for each row that is written, if `opening.rows` is set.
    """

    def __init__(self, opening: Opening, on_row: Callable[[RowLine], None] | None = None) -> None:
        self.opening = opening
        self._on_row = on_row
        self._tasks: deque[Task] = deque()
        self._answers: dict[str, ResponseStarted] = {}
        self._unconfirmed = Unconfirmed()
        self._spool = Spool(opening.settings.home)
        self._peak = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._is_stored = False
        self._faults = 0
        self._lost, self._lost_before = 0, 0  # calls lost by this process, and by those before it
        self._delay = RESTART_MIN_DELAY
        self._process = self._start()
        self._thread = threading.Thread(target=self._work, name="moonpalace-writer-client", daemon=True)
        self._thread.start()

    def put(self, task: Task) -> None:
        """Queue a task; returns at once, thread-safe."""
        self._tasks.append(task)
        # Setting an event that is already set costs a lock and a thread switch.
        if not self._wake.is_set():
            self._wake.set()

    def stop(self) -> bool:
        """Store everything, or write it to a journal, and stop; return False, and log it, if that is not certain."""
        self._stopping.set()
        self._wake.set()
        left, since = math.inf, time.monotonic()
        while self._thread.is_alive() and time.monotonic() - since < STOP_TIMEOUT:
            self._thread.join(NOTICE_INTERVAL)
            if (unsafe := self._unsafe) < left:
                left, since = unsafe, time.monotonic()
            if self._thread.is_alive():
                logger.warning("store: %d calls are still to be stored", unsafe)
        if self._thread.is_alive():
            logger.error("store: the process that writes to it does not answer; calls may be lost")
        return self._is_stored and not (self._tasks or self._thread.is_alive())

    @property
    def _unsafe(self) -> int:
        """Return the number of calls that are not confirmed as safe."""
        return len(self._unconfirmed) + self._spool.requests

    def _start(self) -> WriterProcess:
        """Start a process and wait until it has opened the store; raises StoreError."""
        self._began = time.monotonic()
        process = WriterProcess(
            self.opening, self._forget, on_end=self._wake.set, on_full=self._spool_new, on_row=self._on_row
        )
        while (answer := process.answer(STREAM_INTERVAL)) is None and not process.is_over:
            self._keep_new()  # migrations and locks of other processes take time
        answer = answer or process.answer(0)
        if isinstance(answer, Ready):
            self.opening = replace(self.opening, key=answer.key)
        if isinstance(answer, Refused):
            process.close()
            raise StoreError(answer.reason)
        if answer is None:
            raise StoreError(f"the process that writes to the store does not start (exit code {process.close()})")
        return process

    def _forget(self, confirmed: Confirmed) -> None:
        """Forget confirmed calls, and log when the last replayed call is confirmed."""
        count = self._unconfirmed.confirm(confirmed.uuids)
        if self._spool or self._peak > memory.TRIM_THRESHOLD:
            self._wake.set()
        self._lost = confirmed.lost
        lost = self._lost_before + self._lost
        if count and lost:
            logger.warning("store: none of %d calls is waiting any more; this run has lost %d", count, lost)
        elif count:
            logger.warning("store: %d calls that had waited are stored, or in a journal", count)

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(STREAM_INTERVAL if self._answers else None)
            self._stopping.wait(BATCH_INTERVAL)
            self._wake.clear()
            self._guarded(self._send_new)
            self._trim_memory()
        self._guarded(self._end)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run `work` and log any error, because the thread must survive."""
        try:
            work()
        except Exception:
            self._faults += 1
            logger.exception("store: calls could not be passed on because of a fault in MoonPalace")

    def _send_new(self) -> None:
        """Send tasks as far as the window allows; spool the rest."""
        self._pass_new(self._send)
        while self._spool and not (self._is_full or self._process.is_over):
            self._send_spooled()
        if self._process.is_over:
            self._restart()

    def _pass_new(self, send: Callable[[list[Task]], None]) -> None:
        """Pass new tasks to `send` as far as the window allows; spool the rest."""
        for portion in portions(self._tasks):
            for message in self._messages(portion):
                (self._spool.put if self._spool or self._is_full else send)(message)

    def _spool_new(self) -> None:
        """Spool new tasks while a message cannot be sent, because the process does not read."""
        # An exception here would cut the message that is being sent.
        self._guarded(partial(self._pass_new, self._spool.put))

    def _keep_new(self) -> None:
        """Keep new tasks for replay while no process is running."""
        self._pass_new(self._unconfirmed.note)

    def _send_spooled(self) -> None:
        """Send the oldest spooled message; log the number of affected calls if it cannot be read."""
        try:
            message = self._spool.take()
        except DamagedError as error:
            self._faults += 1
            logger.error(  # noqa: TRY400 - the message is complete
                "store: tasks that waited on the disk cannot be read (%s): %d calls are lost or incomplete",
                error,
                error.calls,
            )
        else:
            self._send(message)

    @property
    def _is_full(self) -> bool:
        self._peak = max(self._peak, self._unconfirmed.waiting)
        return self._unconfirmed.waiting > WINDOW_SIZE

    def _send(self, message: list[Task]) -> None:
        """Send tasks; if the process has died, start a new one and replay all unconfirmed tasks."""
        self._unconfirmed.note(message)
        try:
            self._process.send(message)
        except OSError:
            self._restart()

    def _trim_memory(self) -> None:
        """Trim memory once everything that waited is stored, while no answer is in flight that this could delay."""
        if self._peak > memory.TRIM_THRESHOLD and not (self._unconfirmed or self._spool or self._tasks):
            self._peak = 0
            memory.trim()

    def _messages(self, tasks: Iterable[Task]) -> Iterator[list[Task]]:
        """Yield messages with tasks in the order beginnings, chunks of answers in flight, endings.

        Chunks are taken when their message is, because new ones may be spooled while another message is sent.
        """
        begun, answered, ended, over = list[Task](), list[Task](), list[Task](), list[ResponseStarted]()
        for task in tasks:
            match task:
                case ResponseStarted():
                    self._answers[task.uuid] = task
                    answered.append(task.without_chunks())
                case ExchangeEnded():
                    ended.append(task)
                    if answer := self._answers.get(task.uuid):
                        over.append(answer)
                case _:
                    begun.append(task)
        answers = (*over, *self._answers.values())
        message = [*begun, *answered]
        while (chunks := self._new_chunks(answers)) and any(answer.chunks for answer in over):
            yield [*message, chunks]
            message = []
        for answer in over:
            self._answers.pop(answer.uuid, None)
        if chunks and len(chunks.data) >= PORTION_SIZE:
            self._wake.set()  # answers in flight may have more
        if message := [*message, *([chunks] if chunks else []), *ended]:
            yield message

    @staticmethod
    def _new_chunks(answers: Iterable[ResponseStarted]) -> Chunks | None:
        """Return new chunks of answers, None if there are none; an error here must not lose their rows as well."""
        try:
            return packed(((answer.uuid, answer.chunks) for answer in answers), PORTION_SIZE)
        except Exception:
            logger.exception("store: parts of answers are lost because of a fault in MoonPalace")
            return None

    def _restart(self) -> None:
        """Restart the process and replay all unconfirmed tasks; make only one attempt while the proxy stops."""
        self._close_ended()
        logged = ""
        while True:
            # Back off if a process dies right after its tasks are replayed.
            lived = time.monotonic() - self._began
            self._delay = RESTART_MIN_DELAY if lived > RESTART_MAX_DELAY else min(self._delay * 2, RESTART_MAX_DELAY)
            is_last = self._wait(self._delay)
            try:
                self._process = self._start()
            except (StoreError, OSError) as error:
                if str(error) != logged:
                    logger.warning("store: %s; calls continue, their rows wait", error)
                logged = str(error)
            else:
                if logged:
                    logger.warning("store: the process that writes to it works again")
                logged = ""
                self._unconfirmed.expect_ended()
                if self._replay():
                    self._wake.set()  # spooled messages follow
                    return
                self._close_ended()
            if is_last:
                return

    def _wait(self, seconds: float) -> bool:
        """Wait while keeping new tasks; return True as soon as the proxy stops."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._stopping.wait(min(left, STREAM_INTERVAL)):
            self._keep_new()
        return self._stopping.is_set()

    def _close_ended(self) -> None:
        """Close the ended process, and log its exit code."""
        status = self._process.close()
        self._lost, self._lost_before = 0, self._lost_before + self._lost
        logger.error("store: the process that writes to it has ended (exit code %s); restarting it", status)

    def _replay(self) -> bool:
        """Replay all unconfirmed tasks; return False if the process ends before that is done."""
        try:
            for message in self._unconfirmed.replayed():
                self._process.resend(message)
        except OSError:
            return False
        return True

    def _end(self) -> None:
        """Wait until everything is stored, by a second process if the first one dies."""
        answer: Ready | Refused | Stopped | None = None
        for _ in range(2):
            self._guarded(self._send_all)
            with contextlib.suppress(OSError):
                self._process.write(Stop())
            answer = self._last_answer()
            if isinstance(answer, Stopped) or not self._process.is_over:
                break
        self._process.close()
        # Calls that are safe, in the store or in a file, were confirmed before the final message.
        lost = answer.lost if isinstance(answer, Stopped) else self._lost
        unsafe = self._unsafe + self._lost_before + lost
        self._spool.close()
        if unsafe:
            logger.error("store: %d calls are lost, or not known to be stored", unsafe)
        self._is_stored = not (unsafe or self._faults)

    def _last_answer(self) -> Ready | Refused | Stopped | None:
        """Wait for the final message as long as calls are being confirmed."""
        left = math.inf
        answer = None
        while answer is None and not self._process.is_over and self._unsafe < left:
            left = self._unsafe
            answer = self._process.answer(STOP_TIMEOUT)
        return answer or self._process.answer(0)

    def _send_all(self) -> None:
        """Send all spooled messages, as fast as calls are confirmed."""
        self._send_new()
        while self._spool and not self._process.is_over:
            self._wake.clear()
            if self._is_full and not self._wake.wait(WINDOW_TIMEOUT):
                self._send_spooled()
            self._send_new()


def portions(tasks: deque[Task]) -> Iterator[list[Task]]:
    """Yield the queued tasks in portions of about `PORTION_SIZE` bytes; the last one may be empty.

    Portions let early calls end before later ones begin. The window only counts ended calls, so the beginnings of a
    large backlog would all pass it.
    """
    portion, room = list[Task](), PORTION_SIZE
    for _ in range(len(tasks)):
        if not tasks:
            break  # taken while the process was restarted
        portion.append(task := tasks.popleft())
        room -= size_of(task)
        if room <= 0:
            yield portion
            portion, room = [], PORTION_SIZE
    yield portion
