"""What the proxy and its writer have in memory while they get more than can be stored, and after it."""

import asyncio
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from tests.bench.bench_memory import proxy
from tests.bench.bench_throughput import ROOT, await_port, free_port, process
from tests.bench.memory import resident
from tests.bench.store_load import Author
from tests.bench.wanted import at_most

CONNECTIONS = 20
SECONDS = 15.0
SIZE = 100_000
"""Bytes of a request."""
TEXT = 4_000_000
REST = 3.0
"""Seconds from the end of storing until memory is measured again: it should have been released by then."""
PATIENCE = 300.0
MOST = 400.0
AFTER = 200.0
"""Megabytes allowed for each process during the load, and after everything is stored."""


def time_overload() -> Iterator[str]:
    """Megabytes of both processes while requests of 100 KB come at full speed for 15 s, and when all are stored."""
    upstream, port = free_port(), free_port()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(process(upstream, sys.executable, "-m", "tests.bench.load", "upstream", str(upstream)))
        child = stack.enter_context(proxy(port, f"http://127.0.0.1:{upstream}", home))
        await_port(port)
        pids = {"proxy": child.pid, "writer": child_of(child.pid)}
        before = {name: resident(pid) for name, pid in pids.items()}
        client = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "tests.bench.bench_overload", str(port)], cwd=ROOT, stdout=subprocess.PIPE
            )
        )
        most = watched(pids, client)
        count = int((client.stdout or sys.stdin).read())
        began = time.monotonic()
        file = home / "moonpalace.sqlite"
        for name, found in watched_until(pids, file, count).items():
            most[name] = max(most[name], found)
        lag = time.monotonic() - began
        time.sleep(REST)
        yield f"{count} calls, {count / SECONDS:.0f} per second; all stored {lag:.1f} s after the last"
        for name, pid in pids.items():
            after = resident(pid)
            yield (
                f"{name:<7} {before[name]:6.1f} MB before, most {most[name]:6.1f} MB {at_most(most[name], MOST, 'MB')},"
                f" after {after:6.1f} MB {at_most(after, AFTER, 'MB')}"
            )


def child_of(pid: int) -> int:
    """Return the only child of a process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def watched(pids: dict[str, int], client: "subprocess.Popen[bytes]") -> dict[str, float]:
    """Return the peak memory of each process until the client has ended."""
    most = dict.fromkeys(pids, 0.0)
    while client.poll() is None:
        most = {name: max(most[name], resident(pid)) for name, pid in pids.items()}
        time.sleep(0.1)
    return most


def watched_until(pids: dict[str, int], file: Path, count: int) -> dict[str, float]:
    """Return the peak memory of each process until this many calls have been stored."""
    most, deadline = dict.fromkeys(pids, 0.0), time.monotonic() + PATIENCE
    query = "SELECT count(*) FROM exchanges WHERE state = 'completed'"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        while connection.execute(query).fetchone()[0] < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"there are less than {count} rows after {PATIENCE:g} s")
            most = {name: max(most[name], resident(pid)) for name, pid in pids.items()}
            time.sleep(0.2)
    return most


async def caller(port: int, text: bytes, until: float, seed: int) -> int:
    """Make unrelated calls on one connection; return their number."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    chance, count = random.Random(seed), 0
    begin, end = b'{"model":"kimi-k2.6","stream":false,"messages":[{"role":"user","content":"', b'"}]}'
    while time.monotonic() < until:
        at = chance.randrange(len(text) - SIZE)
        body = begin + text[at : at + SIZE] + end
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % (port, len(body)) + body
        )
        answer = await reader.readuntil(b"\r\n\r\n")
        at = answer.lower().find(b"content-length:")
        await reader.readexactly(int(answer[at + 15 :].split(b"\r\n")[0]))
        count += b" 200 " in answer[:15]
    writer.close()
    return count


async def load(port: int) -> None:
    """Print the number of answered calls."""
    text, until = Author(7).text(TEXT).encode(), time.monotonic() + SECONDS
    print(sum(await asyncio.gather(*(caller(port, text, until, seed) for seed in range(CONNECTIONS)))))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(load(int(sys.argv[1])))
