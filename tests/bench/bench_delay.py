"""The delay that the proxy adds to each event of a stream, against a direct connection."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from tests.bench.bench_throughput import BIN, ROOT, free_port, process

ROUNDS = 3
LOADS = ((1, 0.01, 100), (20, 0.01, 100), (200, 0.1, 50), (200, 0.01, 2000))
"""Streams at once, seconds between the events of each, and how many events it has. All begin and all end together: what
that costs is a part of all events, but not of those under way, and the less of them the longer an answer is."""


@contextmanager
def upstream() -> Iterator[int]:
    """Run the paced upstream until the block ends; give its port."""
    command = [sys.executable, "-m", "tests.bench.paced", "upstream"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield int(child.stdout.readline())
        finally:
            child.kill()


def ages(port: int, streams: int, pause: float, events: int) -> dict[str, list[float]]:
    """Return the percentiles of the ages of events through a port."""
    command = [sys.executable, "-m", "tests.bench.paced", "client", str(port), str(streams), str(events), str(pause)]
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    if found["complete"] != streams or found["in order"] != streams:
        raise SystemExit(f"not all streams came whole and in order: {found}")
    return {name: found[name] for name in ("all", "under way")}


def commands(upstream_port: int) -> Iterator[tuple[str, int, list[str | Path]]]:
    """Iterate over the proxies to measure, each with its port: mitmdump without addons shows mitmproxy's own share."""
    target = f"http://127.0.0.1:{upstream_port}"
    port = free_port()
    dump = ["-q", "--mode", f"reverse:{target}", "--listen-host", "127.0.0.1", "-p", str(port)]
    yield "mitmdump -q", port, [BIN / "mitmdump", *dump, "--set", "stream_large_bodies=1"]
    for name, flags in (("mpal start", ()), ("… --detect-repeat", ("--detect-repeat",))):
        port = free_port()
        command = [sys.executable, "-m", "moonpalace_cli.main", "start", "--port", str(port), "--endpoint", target]
        yield name, port, [*command, *flags]


def time_delay() -> Iterator[str]:
    """Milliseconds from an event's sending to its reading: direct, through a proxy, and what that adds."""
    with ExitStack() as stack:
        direct = stack.enter_context(upstream())
        ports = {"direct": direct}
        for name, port, command in commands(direct):
            ports[name] = stack.enter_context(process(port, *command))
        for streams, pause, events in LOADS:
            found: dict[str, list[dict[str, list[float]]]] = {name: [] for name in ports}
            for _ in range(ROUNDS):
                for name, port in ports.items():
                    found[name].append(ages(port, streams, pause, events))
            yield f"{streams} streams at once, {pause * 1000:g} ms from event to event"
            yield from lines(found)


def lines(found: dict[str, list[dict[str, list[float]]]]) -> Iterator[str]:
    """Iterate over the lines of a table: of all events, and of those sent while all streams were under way."""
    for part in ("all", "under way"):
        base = [0.0, 0.0]
        for name, rounds in found.items():
            middle, slow = (median(each[part][at] for each in rounds) * 1000 for at in (0, 1))
            base = [middle, slow] if name == "direct" else base
            added = f"  adds {middle - base[0]:8.2f} {slow - base[1]:8.2f}" if name != "direct" else ""
            yield f"  {part:<9} {name:<17} p50 {middle:8.2f}  p99 {slow:8.2f}{added}"
