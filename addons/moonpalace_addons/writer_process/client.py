"""The proxy's end: takes what the hooks say, tells it to the process that writes, starts that again if it dies.

A task costs the caller one append, a chunk not even a call: a thread takes what has come every `GATHER` seconds, or
every `STREAM` while answers are under way, and sends it in one piece. What is not known to be safe is kept, and told
again to the next process if this one dies.

Of calls that are over and not known to be safe, the other process is told `WINDOW` bytes at most: if more comes than it
can take, or than fits while it is started again, what there is to say next waits on the disk (`spool`), and neither
process fills the memory.
"""

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, Task
from moonpalace_addons.store.write import memory
from moonpalace_addons.store.write.memory import WINDOW
from moonpalace_addons.writer_process.messages import Opening, Ready, Refused, Settled, Stop, Stopped, packed
from moonpalace_addons.writer_process.process import WriterProcess
from moonpalace_addons.writer_process.spool import DamagedError, Spool
from moonpalace_addons.writer_process.unsettled import Unsettled

logger = logging.getLogger(__name__)

GATHER = 0.01
STREAM = 0.05
RESTART_LEAST = 0.1
RESTART_MOST = 10.0
STOP_MOST = 50.0
"""Seconds without progress after which the end waits no longer: more than the writer needs for a store that hangs."""
NOTICE = 10.0
"""Seconds between the log lines of an end that takes long."""

PORTION = 2_000_000
"""Bytes of tasks that are told at once."""
TASK_WEIGHT = 2_000
"""Bytes that a task takes beside bodies, about."""
WINDOW_PATIENCE = 5.0
"""Seconds without a call that is settled after which the end waits for no room in the window."""


class WriterClient:
    """Have calls written to the store by a process of its own. Making one starts it; raises StoreError."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self._tasks: deque[Task] = deque()
        self._answers: dict[str, ResponseStarted] = {}
        self._unsettled = Unsettled()
        self._later = Spool(opening.home)
        self._most = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._is_stored = False
        self._faults = 0
        self._delay = RESTART_LEAST
        self._process = self._opened()
        self._thread = threading.Thread(target=self._work, name="moonpalace-writer-client", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Return the number of the process that writes."""
        return self._process.pid

    @property
    def backlog(self) -> tuple[int, int]:
        """Return how many bytes, about, of calls are over and not known to be safe, and how many messages wait."""
        return self._unsettled.waiting, len(self._later)

    def put(self, task: Task) -> None:
        """Take a task; returns at once, from any thread."""
        self._tasks.append(task)
        # Setting an event that is set costs a lock and, worse, a switch of threads: both are saved here.
        if not self._wake.is_set():
            self._wake.set()

    def stop(self) -> bool:
        """Have all that waits stored, or in a journal, and stop; return False if not all is known to be, and log it."""
        self._stopping.set()
        self._wake.set()
        left, since = math.inf, time.monotonic()
        while self._thread.is_alive() and time.monotonic() - since < STOP_MOST:
            self._thread.join(NOTICE)
            if (unsafe := self._unsafe) < left:
                left, since = unsafe, time.monotonic()
            if self._thread.is_alive():
                logger.warning("store: %d calls are still to be stored", unsafe)
        if self._thread.is_alive():
            logger.error("store: the process that writes to it does not answer; calls may be lost")
        return self._is_stored and not (self._tasks or self._thread.is_alive())

    @property
    def _unsafe(self) -> int:
        """Return how many calls are not known to be safe."""
        return len(self._unsettled) + self._later.requests

    def _opened(self) -> WriterProcess:
        """Return a process that has opened the store; raises StoreError."""
        self._began = time.monotonic()
        process = WriterProcess(self.opening, self._settle, self._wake.set)
        while (answer := process.answer(STREAM)) is None and not process.is_over:
            self._keep()  # a store that is migrated, or that another process holds, takes its time
        answer = answer or process.answer(0)
        if isinstance(answer, Ready):
            self.opening = replace(self.opening, key=answer.key)
        if isinstance(answer, Refused):
            process.close()
            raise StoreError(answer.words)
        if answer is None:
            raise StoreError(f"the process that writes to the store does not start (exit code {process.close()})")
        return process

    def _settle(self, settled: Settled) -> None:
        """Forget calls that are safe, and say so once all those are that had to be told again."""
        count = self._unsettled.settle(settled.uuids)
        if self._later or self._most > memory.LARGE:
            self._wake.set()
        if count:
            lost = f"; {settled.lost} are lost" if settled.lost else ""
            safe = max(0, count - settled.lost)
            logger.warning("store: %d calls that had waited are stored, or in a journal%s", safe, lost)

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(STREAM if self._answers else None)
            self._stopping.wait(GATHER)
            self._wake.clear()
            self._guarded(self._hand_over)
            self._give_back()
        self._guarded(self._end)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do something; whatever goes wrong stays here, since a thread that has died hands nothing over."""
        try:
            work()
        except Exception:
            self._faults += 1
            logger.exception("store: calls could not be handed over because of a fault in MoonPalace")

    def _hand_over(self) -> None:
        """Send what there is to say, as far as the other process can take it; the rest waits on the disk."""
        self._take_in(self._say)
        while self._later and not (self._is_full or self._process.is_over):
            self._say_later()
        if self._process.is_over:
            self._start_again()

    def _take_in(self, say: Callable[[list[Task]], None]) -> None:
        """Say what has come, as far as the window has room; put the rest on the disk."""
        for portion in portions(self._tasks):
            if told := self._gathered(portion):
                (self._later.put if self._later or self._is_full else say)(told)

    def _keep(self) -> None:
        """Take in what comes while there is no process to tell it: the next one is told it."""
        self._take_in(self._unsettled.note)

    def _say_later(self) -> None:
        """Say what has waited longest on the disk, or how many calls that was about."""
        try:
            told = self._later.take()
        except DamagedError as error:
            self._faults += 1
            logger.error(  # noqa: TRY400 - it says all that there is
                "store: what waited on the disk cannot be read (%s): %d calls are lost, or not whole",
                error,
                error.calls,
            )
        else:
            self._say(told)

    @property
    def _is_full(self) -> bool:
        self._most = max(self._most, self._unsettled.waiting)
        return self._unsettled.waiting > WINDOW

    def _say(self, told: list[Task]) -> None:
        """Say something; to a new process, all that is not settled, if this one has died."""
        self._unsettled.note(told)
        try:
            self._process.write(told)
        except OSError:
            self._start_again()

    def _give_back(self) -> None:
        """Give memory back once what had waited is stored, and no answer is under way that this could delay."""
        if self._most > memory.LARGE and not (self._unsettled or self._later or self._tasks):
            self._most = 0
            memory.give_back()

    def _gathered(self, tasks: Iterable[Task]) -> list[Task]:
        """Return what there is to say: what begins, what has come of answers under way, what ends."""
        begun, ended, over = list[Task](), list[Task](), dict[str, ResponseStarted]()
        for task in tasks:
            match task:
                case ResponseStarted():
                    self._answers[task.uuid] = task
                    begun.append(task.without_chunks())
                case ExchangeEnded():
                    ended.append(task)
                    if answer := self._answers.pop(task.uuid, None):
                        over[task.uuid] = answer
                case _:
                    begun.append(task)
        return [*begun, *self._came((*over.values(), *self._answers.values())), *ended]

    @staticmethod
    def _came(answers: Iterable[ResponseStarted]) -> list[Task]:
        """Return what has come of answers; a fault of ours there must not cost their rows as well."""
        try:
            came = packed((answer.uuid, answer.chunks) for answer in answers)
        except Exception:
            logger.exception("store: something of answers is lost because of a fault in MoonPalace")
            return []
        return [came] if came else []

    def _start_again(self) -> None:
        """Start the process anew, and tell it all that is not settled; while the proxy is being stopped, try once."""
        self._bury()
        said = ""
        while True:
            # One that dies as soon as it is told what there is must not be started all the time.
            lived = time.monotonic() - self._began
            self._delay = RESTART_LEAST if lived > RESTART_MOST else min(self._delay * 2, RESTART_MOST)
            is_last = self._wait(self._delay)
            try:
                self._process = self._opened()
            except (StoreError, OSError) as error:
                if str(error) != said:
                    logger.warning("store: %s; calls continue, their rows wait", error)
                said = str(error)
            else:
                if said:
                    logger.warning("store: the process that writes to it works again")
                said = ""
                self._unsettled.wait()
                if self._tell_again():
                    self._wake.set()  # what waits on the disk follows
                    return
                self._bury()
            if is_last:
                return

    def _wait(self, seconds: float) -> bool:
        """Wait, and take in what comes meanwhile; return True as soon as the proxy is being stopped."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._stopping.wait(min(left, STREAM)):
            self._keep()
        return self._stopping.is_set()

    def _bury(self) -> None:
        """Say that the process has ended."""
        status = self._process.close()
        logger.error("store: the process that writes to it has ended (exit code %s); it is started again", status)

    def _tell_again(self) -> bool:
        """Tell a new process all that is not settled; return False if it has ended before it was told all."""
        try:
            for told in self._unsettled.again():
                self._process.write(told)
        except OSError:
            return False
        return True

    def _end(self) -> None:
        """Have all stored, by a second process if the first dies meanwhile."""
        answer: Ready | Refused | Stopped | None = None
        for _ in range(2):
            self._guarded(self._empty)
            with contextlib.suppress(OSError):
                self._process.write(Stop())
            answer = self._last_answer()
            if isinstance(answer, Stopped) or not self._process.is_over:
                break
        self._process.close()
        # Whatever is safe, in the store or in a file, has been settled before the last word was said.
        unsafe = self._unsafe + (answer.lost if isinstance(answer, Stopped) else 0)
        self._later.close()
        if unsafe:
            logger.error("store: %d calls are lost, or not known to be stored", unsafe)
        self._is_stored = not (unsafe or self._faults)

    def _last_answer(self) -> Ready | Refused | Stopped | None:
        """Wait for the other process's last word for as long as calls are being settled."""
        left = math.inf
        answer = None
        while answer is None and not self._process.is_over and self._unsafe < left:
            left = self._unsafe
            answer = self._process.answer(STOP_MOST)
        return answer or self._process.answer(0)

    def _empty(self) -> None:
        """Say all that waits, as fast as calls are settled."""
        self._hand_over()
        while self._later and not self._process.is_over:
            self._wake.clear()
            if self._is_full and not self._wake.wait(WINDOW_PATIENCE):
                self._say_later()
            self._hand_over()


def portions(tasks: deque[Task]) -> Iterator[list[Task]]:
    """Take out the tasks that are there now, bodies of about `PORTION` bytes at a time; at the end maybe none.

    Of much that has come at once, calls are told to their end before the next ones begin: the window is about those
    that are over, and all of what begins would go past it.
    """
    portion, room = list[Task](), PORTION
    for _ in range(len(tasks)):
        if not tasks:
            break  # taken in while the process was started again
        portion.append(task := tasks.popleft())
        room -= size_of(task)
        if room <= 0:
            yield portion
            portion, room = [], PORTION
    yield portion


def size_of(task: Task) -> int:
    """Return how many bytes a task takes, about."""
    match task:
        case RequestRead():
            return TASK_WEIGHT + len(task.body)
        case ExchangeEnded() if task.response is not None:
            return TASK_WEIGHT + sum(len(data) for _, data in task.response.chunks)
    return TASK_WEIGHT
