"""Throughput of the proxy with full capture, against mitmdump that does nothing.

    python -m tests.bench throughput [--rounds N] [--calls N] [--only NAME] [--kind KIND] [--peer "NAME=COMMAND"] …

A peer is another proxy: `{port}` in its command is where it is to listen, `{upstream}` the URL of the API.
"""

import argparse
import json
import os
import shlex
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CONNECTIONS = 16
LOADS = (("json", 16, 1.0), ("json", 64, 1.0), ("stream20", 16, 0.75), ("stream200", 16, 0.25), ("agent", 16, 0.5))
"""Kind of call, connections, and the share of `--calls` made in a round."""
CALLS, ROUNDS = 2000, 3
BARE = "mitmdump -q"
PATIENCE = 60.0
"""Seconds in which all rows must be on disk after a round."""


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(port: int, *command: str | Path, home: str | None = None) -> Iterator[int]:
    """Run a server inside the block, which begins when it listens; give the server's process id."""
    with ExitStack() as stack:
        home = home or stack.enter_context(tempfile.TemporaryDirectory())
        environment = os.environ | {"HOME": home, "MOONPALACE_HOME": home}
        child = stack.enter_context(subprocess.Popen(command, env=environment, cwd=ROOT, stdout=-3, stderr=-3))
        try:
            await_port(port)
            yield child.pid
        finally:
            child.terminate()


def await_port(port: int) -> None:
    """Wait for a limited time until somebody listens on a port."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


def make_calls(port: int, kind: str, calls: int = CALLS, connections: int = CONNECTIONS) -> dict[str, float]:
    """Make calls through a port; return their `rate`, per second, and `p50`, the middle of their milliseconds."""
    client = [sys.executable, "-m", "tests.bench.load", "client", str(port), str(connections), str(calls), kind]
    found: dict[str, float] = json.loads(
        subprocess.run(client, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    )
    return found


def rate(port: int, kind: str, calls: int = CALLS, connections: int = CONNECTIONS) -> float:
    """Return the calls per second through a port."""
    return make_calls(port, kind, calls, connections)["rate"]


def command(name: str, port: int, target: str) -> list[str]:
    """Return the command line of one of the proxies."""
    if name.startswith("mpal start"):
        start = [sys.executable, "-m", "moonpalace_cli.main", "start", "--port", str(port), "--endpoint", target]
        return start + name.split()[2:]
    dump = [str(BIN / "mitmdump"), "-q", "--set", "connection_strategy=lazy"]
    if name == BARE:
        mode = ["--mode", f"reverse:{target}", "--listen-host", "127.0.0.1", "-p", str(port)]
        return [*dump, *mode, "--set", "stream_large_bodies=1"]
    settings = {"endpoint": target, "port": str(port)}
    return [*dump, "-s", "addons/moonpalace.py", *(f"--set=moonpalace_{key}={text}" for key, text in settings.items())]


@dataclass(slots=True)
class Proxy:
    """A proxy to measure; `file` is its store, which exists if it is one of ours."""

    name: str
    command: list[str]
    port: int
    file: Path
    pid: int = 0
    calls: int = 0
    rates: list[float] = field(default_factory=list)
    costs: list[tuple[float, float]] = field(default_factory=list)

    def measure(self, kind: str, connections: int, calls: int) -> None:
        """Make calls, wait for their rows, and note the rate and the CPU per call: main process, all processes."""
        before = self.cpu()
        self.rates.append(rate(self.port, kind, calls, connections))
        self.calls += calls // connections * connections
        self.await_rows()
        after = self.cpu()
        main, every = (1e6 * (after[at] - before[at]) / calls for at in (0, 1))
        self.costs.append((main, every))

    def cpu(self) -> tuple[float, float]:
        """Return the seconds of CPU of the main process and of all processes."""
        main = psutil.Process(self.pid)
        times = [sum(each.cpu_times()[:2]) for each in (main, *main.children(recursive=True))]
        return times[0], sum(times)

    def await_rows(self) -> None:
        """Wait until all calls have been stored."""
        if not self.file.exists():
            return
        deadline = time.monotonic() + PATIENCE
        query = "SELECT count(*) FROM exchanges WHERE state != 'in_flight'"
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as connection:
            while (found := connection.execute(query).fetchone()[0]) != self.calls:
                if time.monotonic() > deadline:
                    raise SystemExit(f"{self.name}: {found} rows of {self.calls} calls after {PATIENCE:g} s")
                time.sleep(0.05)


def parsed_options() -> argparse.Namespace:
    """Return the options after the word `throughput`."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench throughput")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--only", action="append", help="one of our proxies; all by default")
    parser.add_argument("--kind", action="append", help="one of the loads; all by default")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    return parser.parse_args(sys.argv[2:])


def proxies(options: argparse.Namespace, target: str, stack: ExitStack) -> Iterator[Proxy]:
    """Iterate over the proxies to measure, not yet started."""
    for name in (BARE, *(options.only or ("mpal start", "mitmdump -s"))):
        port = free_port()
        yield Proxy(name, command(name, port, target), port, new_store(stack))
    for peer in options.peer:
        name, _, line = peer.partition("=")
        port = free_port()
        yield Proxy(name, shlex.split(line.format(port=port, upstream=target)), port, new_store(stack))


def new_store(stack: ExitStack) -> Path:
    """Return the store's path for a proxy with a new home."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory())) / "moonpalace.sqlite"


def time_throughput() -> Iterator[str]:
    """Measure calls per second, every row on disk; in brackets the us of CPU per call: main process, all."""
    options = parsed_options()
    upstream = free_port()
    with ExitStack() as stack:
        stack.enter_context(process(upstream, sys.executable, "-m", "tests.bench.load", "upstream", str(upstream)))
        measured = list(proxies(options, f"http://127.0.0.1:{upstream}", stack))
        for proxy in measured:
            proxy.pid = stack.enter_context(process(proxy.port, *proxy.command, home=str(proxy.file.parent)))
        for kind, connections, share in LOADS:
            if options.kind and kind not in options.kind:
                continue
            for _ in range(options.rounds):
                for proxy in measured:
                    proxy.measure(kind, connections, int(options.calls * share))
            yield f"{kind}, {connections} connections"
            yield from lines(measured)


def lines(measured: list[Proxy]) -> Iterator[str]:
    """Iterate over the lines of one load's table, and reset the figures."""
    base, cost = median(measured[0].rates), median(every for _, every in measured[0].costs)
    for proxy in measured:
        found = median(proxy.rates)
        main, every = (median(costs[at] for costs in proxy.costs) for at in (0, 1))
        ratios = f"{found / base:5.2f} x the calls, {every / cost:5.2f} x the CPU of {BARE}"
        yield f"  {proxy.name:<32} {found:7.0f} calls/s ({main:5.0f} us, {every:5.0f} us)   {ratios}"
        proxy.rates.clear()
        proxy.costs.clear()
