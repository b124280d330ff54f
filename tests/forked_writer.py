"""Writer processes forked from a proxy that is itself a fork: their imports take longer than most tests.

After the imports a fork does all that a new process does. Proxies that are started as new processes start new writers.
"""

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

from moonpalace_addons.writer_process import process, server
from tests.forks import Command, Fork, Forks

MAX_DESCRIPTORS = 1 << 16


def fork_writers() -> None:
    """Have this process and its forks fork the writers of their proxies."""
    vars(process)["subprocess"] = subprocess_with(partial(subprocess.Popen, preexec_fn=be_writer))


def subprocess_with(popen: Callable[..., object]) -> SimpleNamespace:
    """Return a replacement for the module `subprocess` where writers are started."""
    return SimpleNamespace(Popen=popen, PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired)


def popen_from(forks: Forks) -> Callable[..., Fork | subprocess.Popen[bytes]]:
    """Return a replacement for `Popen` that starts writers, for a process that is not a fork itself."""
    python = sys.executable

    def start(command: list[str], *, env: Mapping[str, str], **options: Any) -> Fork | subprocess.Popen[bytes]:
        if command[0] != python:  # a test has it fail
            return subprocess.Popen(command, env=env, **options)
        return forks.serve(Command("writer", (), env))

    return start


def be_writer() -> None:
    """Run the writer in the child that `Popen` has forked, with its pipes; then exit, so that nothing is executed."""
    code = 1
    try:
        gc.freeze()  # what the proxy has left must not be collected: it would close descriptors that are others by then
        os.closerange(3, MAX_DESCRIPTORS)  # the pipe among them by which `Popen` hears of the start
        forget_the_proxy()
        server.main()
        threading._shutdown()  # type: ignore[attr-defined]
        code = 0
    except BaseException:  # noqa: BLE001 - the end of a process
        traceback.print_exc()
    finally:
        os._exit(code)


def forget_the_proxy() -> None:
    """Reset the state that a new process does not have."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # as Python itself does; `Popen` has undone it
        signal.signal(number, signal.SIG_IGN)
    sys.setswitchinterval(0.005)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    logging.root.handlers.clear()
    for name in logging.root.manager.loggerDict:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
