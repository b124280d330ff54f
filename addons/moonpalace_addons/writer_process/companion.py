"""A program of `moonpalace_cli` in a process beside the proxy's: start it, stop it, and log its lines.

This library does not import `moonpalace_cli`. The program gets one message on standard input, whose end asks it to
stop, however the proxy ends; on standard output it sends lines for the log. `moonpalace_cli/companion.py` is its end.
"""

import contextlib
import importlib.util
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, cast

from moonpalace_addons.writer_process import messages


class Companion:
    """A started process; raises OSError if it cannot be started."""

    def __init__(self, module: str, message: object, logger: logging.Logger) -> None:
        places = [path for path in sys.path if path]
        if importlib.util.find_spec(module.partition(".")[0]) is None:  # mitmdump -s in a checkout knows addons/ alone
            places.append(str(Path(__file__).resolve().parents[3]))
        self._logger = logger
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
            start_new_session=True,  # not reached by signals to the proxy's terminal or group
        )
        self._pipe = cast(IO[bytes], self._process.stdin)
        with contextlib.suppress(OSError):  # it has ended already
            messages.write(self._pipe, message)
        self._thread = threading.Thread(target=self._log_all, name=f"{module}-log", daemon=True)
        self._thread.start()

    @property
    def exit_code(self) -> int | None:
        """Return its exit code as in `Popen.returncode`, None while it runs."""
        return self._process.poll()

    def close(self) -> None:
        """Ask it to stop."""
        with contextlib.suppress(OSError):
            self._pipe.close()

    def wait(self, timeout: float | None = None) -> int | None:
        """Return its exit code once it has ended and its lines are logged; None after `timeout` seconds."""
        self._thread.join(timeout)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def _log_all(self) -> None:
        pipe = cast(IO[bytes], self._process.stdout)
        with pipe:
            for line in pipe:
                with contextlib.suppress(ValueError, TypeError):
                    level, text = json.loads(line)
                    self._logger.log(level, "%s", text)
