"""The delay that the proxy adds to each event of a stream, against a direct connection."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from tests.bench.bench_throughput import ROOT, free_port, process

EVENTS, PAUSE, ROUNDS = 200, 0.01, 3
STREAMS = (1, 20, 200)


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


def ages(port: int, streams: int) -> dict[str, list[float]]:
    """Return the percentiles of the ages of events through a port."""
    command = [sys.executable, "-m", "tests.bench.paced", "client", str(port), str(streams), str(EVENTS), str(PAUSE)]
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    if found["complete"] != streams or found["in order"] != streams:
        raise SystemExit(f"not all streams came whole and in order: {found}")
    return {name: found[name] for name in ("all", "under way")}


def time_delay() -> Iterator[str]:
    """Milliseconds from an event's sending to its reading: direct, through mpal start, and what that adds."""
    with ExitStack() as stack:
        direct = stack.enter_context(upstream())
        ports = {"direct": direct}
        for name, flags in (("mpal start", ()), ("with --detect-repeat", ("--detect-repeat",))):
            command = [sys.executable, "-m", "moonpalace_cli.main", "start", *flags]
            port = free_port()
            command += ["--port", str(port), "--endpoint", f"http://127.0.0.1:{direct}"]
            ports[name] = stack.enter_context(process(port, *command))
        for streams in STREAMS:
            found: dict[str, list[dict[str, list[float]]]] = {name: [] for name in ports}
            for _ in range(ROUNDS):
                for name, port in ports.items():
                    found[name].append(ages(port, streams))
            yield from lines(streams, found)


def lines(streams: int, found: dict[str, list[dict[str, list[float]]]]) -> Iterator[str]:
    """Iterate over the lines of a table for a number of streams."""
    for part in ("under way", "all"):
        base = [0.0, 0.0]
        for name, rounds in found.items():
            middle, slow = (median(each[part][at] for each in rounds) * 1000 for at in (0, 1))
            base = [middle, slow] if name == "direct" else base
            added = f"adds {middle - base[0]:7.2f} {slow - base[1]:7.2f}" if name != "direct" else ""
            yield f"{streams:4} streams, {part:<9} {name:<21} p50 {middle:7.2f}  p99 {slow:7.2f}  {added}"
