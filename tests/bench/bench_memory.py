"""Whether the memory of a proxy stays flat over 100,000 calls, JSON and streams in turn; takes about five minutes."""

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from tests.bench.bench_throughput import CONNECTIONS, ROOT, await_port, command, free_port, process, rate
from tests.bench.memory import growth, resident

STEPS = 10
EACH = 5_000 // CONNECTIONS * CONNECTIONS
"""Calls of each kind in a step: as many on each connection."""
PATIENCE = 120.0


@contextmanager
def proxy(port: int, target: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `mpal start` until the block ends."""
    variables = {"HOME": str(home), "MOONPALACE_HOME": str(home)}
    line = command("mpal start", port, target)
    with subprocess.Popen(line, env=os.environ | variables, cwd=ROOT, stdout=-3, stderr=-3) as child:
        try:
            yield child
        finally:
            child.terminate()


def await_rows(file: Path, count: int) -> None:
    """Wait until so many calls are stored to their ends: what the writer has still to do is not what is measured."""
    deadline = time.monotonic() + PATIENCE
    query = "SELECT count(*) FROM exchanges WHERE state = 'completed'"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        while connection.execute(query).fetchone()[0] < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"there are less than {count} rows after {PATIENCE:g} s")
            time.sleep(0.2)


def time_proxy() -> Iterator[str]:
    """Megabytes that `mpal start` has in memory after each tenth of the calls, the writer having stored them."""
    upstream, port = free_port(), free_port()
    target, taken = f"http://127.0.0.1:{upstream}", list[float]()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(process(upstream, sys.executable, "-m", "tests.bench.load", "upstream", str(upstream)))
        child = stack.enter_context(proxy(port, target, home))
        await_port(port)
        for step in range(1, STEPS + 1):
            for kind in ("json", "stream20"):
                rate(port, kind, EACH)
            await_rows(home / "moonpalace.sqlite", 2 * EACH * step)
            taken.append(resident(child.pid))
            yield f"{2 * EACH * step:>7,} calls: {taken[-1]:6.1f} MB"
    yield growth(taken)
