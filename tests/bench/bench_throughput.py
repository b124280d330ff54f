"""Throughput of the proxy with full capture, against mitmdump that does nothing."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CALLS, CONNECTIONS, ROUNDS = 2000, 20, 3
NAMES = ("mitmdump -q", "mpal start", "mitmdump -s")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(port: int, *command: str | Path) -> Iterator[int]:
    """Run a server until the block ends; begins when it listens."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"HOME": home, "MOONPALACE_HOME": home, "PYTHONPATH": f"{ROOT}:{ROOT / 'addons'}"}
        with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=-3, stderr=-3) as child:
            await_port(port)
            yield port
            child.terminate()


def await_port(port: int) -> None:
    """Wait until somebody listens on a port, for some time."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


def rate(port: int, kind: str, calls: int = CALLS) -> float:
    """Return the calls per second through a port."""
    client = [sys.executable, "-m", "tests.bench.load", "client", str(port), str(CONNECTIONS), str(calls), kind]
    return float(subprocess.run(client, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def command(name: str, port: int, target: str) -> list[str]:
    """Return the command line of one of the proxies."""
    if name == "mpal start":
        return [sys.executable, "-m", "moonpalace_cli.main", "start", "--port", str(port), "--endpoint", target]
    dump = [str(BIN / "mitmdump"), "-q", "--mode", f"reverse:{target}", "--listen-host", "127.0.0.1", "-p", str(port)]
    script = ["-s", "addons/moonpalace.py", "--set", f"moonpalace_endpoint={target}"]
    return dump + (script if name == "mitmdump -s" else [])


def time_throughput() -> Iterator[str]:
    """Measure calls per second: mpal start and mitmdump -s with full capture, against mitmdump -q without addons."""
    upstream = free_port()
    target = f"http://127.0.0.1:{upstream}"
    servers = {name: (port := free_port(), command(name, port, target)) for name in NAMES}
    with ExitStack() as stack:
        stack.enter_context(process(upstream, sys.executable, "-m", "tests.bench.load", "upstream", str(upstream)))
        for port, line in servers.values():
            stack.enter_context(process(port, *line))
        for kind in ("json", "stream"):
            rates: dict[str, list[float]] = {name: [] for name in servers}
            for _ in range(ROUNDS):
                for name, (port, _) in servers.items():
                    rates[name].append(rate(port, kind))
            base = median(rates["mitmdump -q"])
            for name, found in rates.items():
                yield f"{kind:<6} {name:<12} {median(found):7.0f} calls/s   {median(found) / base:.2f} x mitmdump -q"
