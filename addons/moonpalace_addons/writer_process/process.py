"""One instance of the writer's process: start it, send to it, receive from it."""

import contextlib
import errno
import logging
import os
import pickle
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, cast

from moonpalace_addons.store.tasks import Task
from moonpalace_addons.writer_process import messages
from moonpalace_addons.writer_process.messages import (
    MAX_QUEUED_RECORDS,
    Confirmed,
    Opening,
    Ready,
    Refused,
    RowLine,
    Stopped,
)
from moonpalace_addons.writer_process.shared_bodies import SharedBodies

logger = logging.getLogger(__name__)

PIPE_SIZE = 1024 * 1024
"""Bytes of the pipe's buffer on Linux, so that a request with an image does not cost many context switches."""

MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "1000000"}
"""Settings of glibc: large bodies are given back to the system at once, and do not add up in several heaps."""

FULL_INTERVAL = 0.05
"""Seconds between the calls of `on_full` while the pipe is full."""

EXIT_TIMEOUT = 5.0
"""Seconds to wait for the process to exit after its last message."""

LOG_TIMEOUT = 5.0
"""Seconds to wait for its log records to be written when it ends."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """The writing end of a pipe. While the pipe is full, `on_full` is called every `FULL_INTERVAL` seconds."""

    pipe: IO[bytes]
    on_full: Callable[[], None]

    def write(self, data: bytes) -> int:
        """Write all of it; raises OSError if the reader has closed the pipe."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.pipe.fileno(), rest) :]
            except BlockingIOError:
                if not wait_for_room(self.pipe):
                    self.on_full()
        return len(data)


def wait_for_room(pipe: IO[bytes]) -> bool:
    """Wait until data can be written to a pipe; return False after `FULL_INTERVAL` seconds."""
    if sys.platform == "win32":  # it cannot wait for a pipe
        time.sleep(FULL_INTERVAL)
        return False
    poll = select.poll()
    poll.register(pipe, select.POLLOUT)
    return bool(poll.poll(FULL_INTERVAL * 1000))


class WriterProcess:
    """A started process. `on_confirmed`, `on_end` and `on_row` are called on the thread that receives its messages.

    `on_full` is called every `FULL_INTERVAL` seconds while `write` waits for the process to read. Its log records are
    written on another thread, so that a slow or stopped terminal does not delay confirmations.
    """

    def __init__(
        self,
        opening: Opening,
        on_confirmed: Callable[[Confirmed], None],
        on_end: Callable[[], None],
        on_full: Callable[[], None],
        on_row: Callable[[RowLine], None] | None = None,
    ) -> None:
        self.is_over = False
        """Whether it has closed its pipe: it has ended or is about to."""
        self._on_confirmed = on_confirmed
        self._on_end = on_end
        self._on_row = on_row
        self._answers = queue.SimpleQueue[Ready | Refused | Stopped | None]()
        self._records = queue.SimpleQueue[logging.LogRecord | None]()
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", str(__package__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=MALLOC | os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # not reached by signals to the proxy's terminal or group
        )
        self._pipe = cast(IO[bytes], self._process.stdin)
        widen(self._pipe)
        os.set_blocking(self._pipe.fileno(), False)
        self._bodies = SharedBodies()
        self._outlet = Outlet(self._pipe, on_full)
        self._thread = threading.Thread(target=self._listen, name="moonpalace-writer-reports", daemon=True)
        self._logging = threading.Thread(target=self._log_all, name="moonpalace-writer-log", daemon=True)
        for thread in (self._thread, self._logging):
            thread.start()
        with contextlib.suppress(OSError):  # then there is no answer either
            self.write(opening)

    def write(self, message: object) -> None:
        """Send a message, waiting until it is read; raises OSError if the process has ended or is closed."""
        if self._pipe.closed:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        pickle.dump(message, self._outlet, messages.PROTOCOL)

    def send(self, batch: Sequence[Task]) -> None:
        """Send tasks; raises OSError like `write`."""
        self.write(self._bodies.pack(batch))

    def resend(self, batch: Sequence[Task]) -> None:
        """Send tasks that may have ended an earlier process, as a pickle, which takes any value; raises OSError."""
        self.write(batch)

    def answer(self, timeout: float | None = None) -> Ready | Refused | Stopped | None:
        """Return its next answer; None after `timeout` seconds, or if it has ended without one."""
        if self.is_over and self._answers.empty():
            return None
        try:
            return self._answers.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> int | None:
        """Close the pipe; return the exit status as in `Popen.returncode`, None if it is still running."""
        with contextlib.suppress(OSError):  # unsent data is discarded
            self._pipe.close()
        try:
            status = self._process.wait(EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            return None
        self._logging.join(LOG_TIMEOUT)
        return status

    def _listen(self) -> None:
        try:
            with cast(IO[bytes], self._process.stdout) as pipe:
                for batch in messages.read(pipe):
                    for message in cast(list[object], batch):
                        self._receive_guarded(message)
        finally:
            self.is_over = True
            self._records.put(None)
            self._answers.put(None)
            self._on_end()

    def _receive_guarded(self, message: object) -> None:
        try:
            self._receive(message)
        except Exception:
            logger.exception("store: a message was not understood because of a fault in MoonPalace")

    def _receive(self, message: object) -> None:
        match message:
            case logging.LogRecord():
                if self._records.qsize() < MAX_QUEUED_RECORDS:
                    self._records.put(message)
            case Confirmed():
                self._on_confirmed(message)
            case RowLine() if self._on_row is not None:
                self._on_row(message)
            case Ready() | Refused() | Stopped():
                self._answers.put(message)

    def _log_all(self) -> None:
        while (record := self._records.get()) is not None:
            target = logging.getLogger(record.name)
            if target.isEnabledFor(record.levelno):
                target.handle(record)


def widen(pipe: IO[bytes]) -> None:
    """Enlarge a pipe's buffer on Linux, if permitted."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_SIZE)
