"""One life of the process that writes: start it, tell it, hear it."""

import contextlib
import errno
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, cast

from moonpalace_addons.writer_process import messages
from moonpalace_addons.writer_process.messages import CAPACITY, Opening, Ready, Refused, Settled, Stopped

logger = logging.getLogger(__name__)

PIPE_SIZE = 1024 * 1024
"""Bytes that the pipe to it holds where that can be chosen, so that an image in a request is not many switches."""

END_MOST = 5.0
"""Seconds that it may take to end after it has said its last."""

LOG_MOST = 5.0
"""Seconds for which its end waits for whoever reads the log."""


class WriterProcess:
    """A process that has been started. `settle` and `ended` are called on the thread that listens to it.

    What it logs is logged on another thread: a terminal that is slow, or stopped, must not keep calls from being known
    to be safe.
    """

    def __init__(self, opening: Opening, settle: Callable[[Settled], None], ended: Callable[[], None]) -> None:
        self.is_over = False
        """It says nothing any more: it has ended, or is about to."""
        self._settle = settle
        self._ended = ended
        self._answers = queue.SimpleQueue[Ready | Refused | Stopped | None]()
        self._records = queue.SimpleQueue[logging.LogRecord | None]()
        self._process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-P", "-m", str(__package__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # signals to the proxy's terminal or group are for the proxy
        )
        self._pipe = cast(IO[bytes], self._process.stdin)
        widen(self._pipe)
        self._thread = threading.Thread(target=self._listen, name="moonpalace-writer-reports", daemon=True)
        self._logging = threading.Thread(target=self._log_all, name="moonpalace-writer-log", daemon=True)
        for thread in (self._thread, self._logging):
            thread.start()
        with contextlib.suppress(OSError):  # then it has no answer either
            self.write(opening)

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._process.pid

    def write(self, message: object) -> None:
        """Tell it something, as soon as it listens; raises OSError if it lives no more, or has been let go."""
        if self._pipe.closed:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        messages.write(self._pipe, message)

    def answer(self, timeout: float | None = None) -> Ready | Refused | Stopped | None:
        """Return its next answer; None if it has ended without one, or after `timeout` seconds."""
        if self.is_over and self._answers.empty():
            return None
        try:
            return self._answers.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> int | None:
        """Tell it no more; return how it ended, as `Popen.returncode` has it, None if it goes on."""
        with contextlib.suppress(OSError):  # what had been left to be written to it
            self._pipe.close()
        try:
            status = self._process.wait(END_MOST)
        except subprocess.TimeoutExpired:
            return None
        self._logging.join(LOG_MOST)
        return status

    def _listen(self) -> None:
        try:
            with cast(IO[bytes], self._process.stdout) as pipe:
                for reports in messages.read(pipe):
                    for report in cast(list[object], reports):
                        self._take_guarded(report)
        finally:
            self.is_over = True
            self._records.put(None)
            self._answers.put(None)
            self._ended()

    def _take_guarded(self, report: object) -> None:
        try:
            self._take(report)
        except Exception:
            logger.exception("store: a report was not understood because of a fault in MoonPalace")

    def _take(self, report: object) -> None:
        match report:
            case logging.LogRecord():
                if self._records.qsize() < CAPACITY:
                    self._records.put(report)
            case Settled():
                self._settle(report)
            case Ready() | Refused() | Stopped():
                self._answers.put(report)

    def _log_all(self) -> None:
        while (record := self._records.get()) is not None:
            target = logging.getLogger(record.name)
            if target.isEnabledFor(record.levelno):
                target.handle(record)


def widen(pipe: IO[bytes]) -> None:
    """Have a pipe hold more, where that can be said and is granted."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_SIZE)
