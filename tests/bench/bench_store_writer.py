"""The writer's delay, and whether its memory stays flat."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from moonpalace_addons.store.write.units import Finished
from moonpalace_addons.store.write.writer import Writer
from tests.bench.bench_store import new_store
from tests.bench.memory import growth, resident
from tests.bench.store_load import Author, Call, tasks, unrelated
from tests.bench.wanted import at_most

CALLS, SIZE = 100_000, 5_000
PAUSE = 0.005
"""Seconds between calls where the delay is measured: a busy proxy, but not an overloaded one."""
PACED = 2_000
DELAY = 1.0
"""Seconds after which every call must be on disk."""
STEPS = 10
WAITING_MOST = 200
"""Maximum of waiting calls: the backlog's memory is not measured."""


def time_delay() -> Iterator[str]:
    """Seconds from a call's end until its row is committed, 200 calls a second."""
    ended, committed = dict[str, float](), dict[str, float]()

    def note(finished: Finished) -> None:
        committed[finished.call.uuid] = time.monotonic()

    with tempfile.TemporaryDirectory() as folder:
        engine = new_store(folder)
        writer, author = Writer(engine, note, Path(folder)), Author(3)
        writer.start()
        for number, call in enumerate(unrelated(PACED, SIZE, streamed=False)):
            ended[put(writer, call, number, author)] = time.monotonic()
            time.sleep(PAUSE)
        missing = not writer.stop() or len(committed) != PACED
        engine.dispose()
    delays = sorted(committed[uuid] - ended[uuid] for uuid in committed)
    middle, slow = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
    yield f"p50 {middle:.3f} s   p99 {slow:.3f} s   most {delays[-1]:.3f} s {at_most(delays[-1], DELAY, 's')}"
    yield "rows are missing" if missing else f"{PACED} calls, {PACED} rows after the stop"


def time_memory() -> Iterator[str]:
    """Megabytes that a process has in memory after each tenth of 100,000 calls of 5 KB."""
    command = [sys.executable, "-m", "tests.bench.bench_store_writer"]
    yield from subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def put(writer: Writer, call: Call, number: int, author: Author) -> str:
    """Put a call as the hooks do; return its uuid."""
    uuid = ""
    for task in tasks(call, number, author):
        uuid = task.uuid
        writer.put(task)
    return uuid


def take_memory() -> None:
    """Store many calls in this process and print its memory growth."""
    stored, taken = threading.Semaphore(WAITING_MOST), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        engine = new_store(folder)
        writer, author = Writer(engine, lambda _: stored.release(), Path(folder)), Author(3)
        writer.start()
        for number, call in enumerate(unrelated(CALLS, SIZE, streamed=False), 1):
            stored.acquire()
            put(writer, call, number, author)
            if number % (CALLS // STEPS) == 0:
                taken.append(resident(os.getpid()))
                print(f"{number:>7,} calls: {taken[-1]:6.1f} MB", flush=True)  # noqa: T201
        print(growth(taken))  # noqa: T201
        writer.stop()
        engine.dispose()


if __name__ == "__main__":
    sys.path.insert(0, "addons")
    take_memory()
