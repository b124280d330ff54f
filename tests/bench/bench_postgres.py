"""The store on PostgreSQL against the store on SQLite: how many calls the writer stores, and the proxy passes on."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from uuid import uuid4

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.tasks import ExchangeEnded, RequestRead, ResponseStarted, State, Task
from moonpalace_addons.store.write.writer import Writer
from tests.bench.bench_throughput import ROOT, free_port, process, rate
from tests.bench.load import completion
from tests.postgres_server import PostgresServer

CALLS, ROUNDS, TURNS = 2000, 3, 100
HEADERS = "Content-Type: application/json\r\nMsh-Request-Id: r\r\nServer-Timing: inner; dur=1\r\n"

type Body = Callable[[int], bytes]


def unrelated(number: int) -> bytes:
    """Return a request that shares nothing with others."""
    message = {"role": "user", "content": f"question {number} " + f"{number:08}" * 150}
    return json.dumps({"model": "kimi-k2.6", "messages": [message]}).encode()


def agent(number: int) -> bytes:
    """Return a turn of a conversation that resends all previous messages."""
    said = [{"role": "user", "content": f"{number // TURNS} {turn} " + f"{turn:08}" * 150} for turn in range(TURNS)]
    return json.dumps({"model": "kimi-k2.6", "messages": said[: number % TURNS + 1]}).encode()


def tasks(body: Body, number: int) -> Iterator[Task]:
    """Yield the hooks' tasks for one call."""
    key = str(uuid4())
    yield RequestRead(
        uuid=key,
        started_at=time.time_ns() // 1000,
        method="POST",
        endpoint="https://api.moonshot.cn",
        path="/v1/chat/completions",
        query="",
        headers="Content-Type: application/json\r\n",
        content_type="application/json",
        content_encoding=None,
        client_request_id=None,
        body=body(number),
    )
    chunks = deque([(2_000_000, completion(800))])
    answer = ResponseStarted(key, 1_000_000, 200, HEADERS, "application/json", None, chunks)
    yield ExchangeEnded(uuid=key, at=3_000_000, state=State.COMPLETED, response=answer)


def stored_per_second(urls: list[str], body: Body, count: int) -> float:
    """Return the calls per second that writers store, one for each URL, each on a separate thread."""
    given = [[task for number in range(count) for task in tasks(body, number)] for _ in urls]
    writers = [Writer(open_store(url, create=True)) for url in urls]
    started = time.perf_counter()
    for writer, each in zip(writers, given, strict=True):
        writer.start()
        for task in each:
            writer.put(task)
    stopping = [threading.Thread(target=writer.stop) for writer in writers]
    for thread in stopping:
        thread.start()
    for thread in stopping:
        thread.join()
    taken = time.perf_counter() - started
    for writer in writers:
        writer.engine.dispose()
    return count * len(urls) / taken


@contextmanager
def stores() -> Iterator[Callable[[str], str]]:
    """Give a function that creates a new store of a kind and returns its URL; the server keeps committed data."""
    with ExitStack() as stack:
        server = PostgresServer(quick=False)
        stack.callback(server.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def make(kind: str) -> str:
            if kind == "SQLite":
                return f"sqlite:///{folder / uuid4().hex}.sqlite"
            return server.url(stack.enter_context(server.database()))

        yield make


def time_writer() -> Iterator[str]:
    """Measure the calls that a writer stores in a second, for unrelated calls and for an agent's conversations."""
    with stores() as make:
        for name, body, count in (("unrelated", unrelated, CALLS), ("agent", agent, CALLS // 4)):
            rates: dict[str, list[float]] = {"SQLite": [], "PostgreSQL": [], "PostgreSQL, 2 writers": []}
            for _ in range(ROUNDS):
                for kind, found in rates.items():
                    url = make(kind)
                    found.append(stored_per_second([url] * (2 if "2" in kind else 1), body, count))
            base = median(rates["SQLite"])
            for kind, found in rates.items():
                yield f"{name:<9} {kind:<21} {median(found):6.0f} calls/s   {median(found) / base:.2f} x SQLite"


def time_proxy() -> Iterator[str]:
    """Measure the calls that `mpal start` passes on in a second while it stores them."""
    upstream = free_port()
    with stores() as make, ExitStack() as stack:
        stack.enter_context(process(upstream, sys.executable, "-m", "tests.bench.load", "upstream", str(upstream)))
        ports = {}
        for kind in ("SQLite", "PostgreSQL"):
            ports[kind] = port = free_port()
            line = [sys.executable, "-m", "moonpalace_cli.main", "start", "--port", str(port), "--database", make(kind)]
            stack.enter_context(process(port, *line, "--endpoint", f"http://127.0.0.1:{upstream}"))
        for kind in ("json", "stream20"):
            rates: dict[str, list[float]] = {name: [] for name in ports}
            for _ in range(ROUNDS):
                for name, port in ports.items():
                    rates[name].append(rate(port, kind))
            base = median(rates["SQLite"])
            for name, found in rates.items():
                yield f"{kind:<6} {name:<10} {median(found):6.0f} calls/s   {median(found) / base:.2f} x SQLite"


def time_list() -> Iterator[str]:
    """Measure `mpal list` on a store of a thousand calls."""
    with stores() as make:
        urls = {kind: make(kind) for kind in ("SQLite", "PostgreSQL")}
        for url in urls.values():
            stored_per_second([url], unrelated, 1000)
        times: dict[str, list[float]] = {kind: [] for kind in urls}
        for _ in range(2 * ROUNDS + 1):
            for kind, url in urls.items():
                started = time.perf_counter()
                command = [sys.executable, "-m", "moonpalace_cli.main", "list", "--database", url]
                subprocess.run(
                    command, cwd=ROOT, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'addons'}"}, check=True, stdout=-3
                )
                times[kind].append(time.perf_counter() - started)
        base = median(times["SQLite"])
        for kind, found in times.items():
            yield f"{kind:<10} {median(found):.2f} s   {median(found) / base:.2f} x SQLite"
