"""Whether the memory of a proxy and of its writer's process stays flat.

Over 100,000 calls, JSON and streams in turn, which takes about five minutes, and over rounds of 1,000 streams at once.
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psutil

from tests.bench.bench_delay import ages
from tests.bench.bench_delay import upstream as paced_upstream
from tests.bench.bench_throughput import CONNECTIONS, ROOT, await_port, command, free_port, process, rate
from tests.bench.memory import growth, resident

STEPS = 10
EACH = 5_000 // CONNECTIONS * CONNECTIONS
"""Calls of each kind in a step: as many on each connection."""
STREAMS, STREAM_PAUSE, STREAM_EVENTS = 1_000, 0.5, 20
PATIENCE = 120.0


@contextmanager
def proxy(port: int, target: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `mpal start` inside the block."""
    variables = {"HOME": str(home), "MOONPALACE_HOME": str(home)}
    line = command("mpal start", port, target)
    with subprocess.Popen(line, env=os.environ | variables, cwd=ROOT, stdout=-3, stderr=-3) as child:
        try:
            yield child
        finally:
            child.terminate()


def await_rows(file: Path, count: int) -> None:
    """Wait until this many calls have been stored: the writer's backlog is not measured."""
    deadline = time.monotonic() + PATIENCE
    query = "SELECT count(*) FROM exchanges WHERE state = 'completed'"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        while connection.execute(query).fetchone()[0] < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"there are less than {count} rows after {PATIENCE:g} s")
            time.sleep(0.2)


@contextmanager
def proxy_and_writer(target: str, port: int) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Run `mpal start` inside the block; give its store, and the ids of its two processes."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        child = stack.enter_context(proxy(port, target, home))
        await_port(port)
        (writer,) = psutil.Process(child.pid).children()
        yield home / "moonpalace.sqlite", (child.pid, writer.pid)


def line(taken: Sequence[float]) -> str:
    """Return the megabytes of both processes."""
    return f"proxy {taken[0]:6.1f} MB, writer {taken[1]:6.1f} MB"


def summary(taken: list[list[float]]) -> Iterator[str]:
    """Return whether the memory of both processes has stayed flat."""
    for name, at in (("proxy", 0), ("writer", 1)):
        yield f"{name}: {growth([each[at] for each in taken])}"


def time_proxy() -> Iterator[str]:
    """Megabytes that `mpal start` has in memory after each tenth of the calls, the writer having stored them."""
    upstream, port = free_port(), free_port()
    taken = list[list[float]]()
    with ExitStack() as stack:
        stack.enter_context(process(upstream, sys.executable, "-m", "tests.bench.load", "upstream", str(upstream)))
        file, pids = stack.enter_context(proxy_and_writer(f"http://127.0.0.1:{upstream}", port))
        for step in range(1, STEPS + 1):
            for kind in ("json", "stream20"):
                rate(port, kind, EACH)
            await_rows(file, 2 * EACH * step)
            taken.append([resident(pid) for pid in pids])
            yield f"{2 * EACH * step:>7,} calls: {line(taken[-1])}"
    yield from summary(taken)


def time_streams() -> Iterator[str]:
    """Megabytes at most while 1,000 streams of 20 events run at once, and once they are stored, in ten rounds."""
    port = free_port()
    taken = list[list[float]]()
    with ExitStack() as stack:
        target = stack.enter_context(paced_upstream())
        file, pids = stack.enter_context(proxy_and_writer(f"http://127.0.0.1:{target}", port))
        yield f"idle: {line([resident(pid) for pid in pids])}"
        for step in range(1, STEPS + 1):
            peak = Peak(pids)
            ages(port, STREAMS, STREAM_PAUSE, STREAM_EVENTS)
            most = peak.end()
            await_rows(file, STREAMS * step)
            taken.append([resident(pid) for pid in pids])
            yield f"{STREAMS * step:>7,} streams: at most {line(most)}; stored {line(taken[-1])}"
    yield from summary(taken)


class Peak:
    """Measure the memory of processes ten times a second, on a thread, until the end."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._most = [0.0 for _ in pids]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            self._most = [max(most, resident(pid)) for most, pid in zip(self._most, self._pids, strict=True)]

    def end(self) -> list[float]:
        """Return the maximum of each process."""
        self._stop.set()
        self._thread.join()
        return self._most
