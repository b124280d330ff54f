"""The delay that the proxy adds to each event of a stream, against a direct connection."""

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from tests.bench.bench_throughput import BIN, ROOT, command, free_port, make_calls, process
from tests.bench.wanted import at_most

ROUNDS = 3
LOADS = ((1, 0.01, 100), (20, 0.01, 100), (50, 0.02, 200), (200, 0.1, 50), (200, 0.01, 2000))
"""Streams at once, seconds between the events of each, and how many events it has. All begin and all end together: what
that costs is a part of all events, but not of those under way, and the less of them the longer an answer is."""

PARTS = ("first", "all", "under way")
SMALL_CALLS, SMALL_CALLS_MOST = 1_000, 0.3
LARGE, LARGE_PAUSE = 400_000, 0.3
"""Bytes of a request of some 100,000 tokens, and seconds between two of them."""


@contextmanager
def upstream() -> Iterator[int]:
    """Run the paced upstream inside the block; give its port."""
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
        raise SystemExit(f"not all streams through port {port} came whole and in order: {found}")
    return {name: found[name] for name in PARTS}


def commands(upstream_port: int) -> Iterator[tuple[str, int, list[str | Path]]]:
    """Iterate over the proxies to measure, each with its port: mitmdump without addons shows mitmproxy's share."""
    target = f"http://127.0.0.1:{upstream_port}"
    port = free_port()
    dump = ["-q", "--mode", f"reverse:{target}", "--listen-host", "127.0.0.1", "-p", str(port)]
    yield "mitmdump -q", port, [BIN / "mitmdump", *dump, "--set", "stream_large_bodies=1"]
    for name, flags in (("mpal start", ()), ("… --detect-repeat", ("--detect-repeat",))):
        port = free_port()
        yield name, port, [*command("mpal start", port, target), *flags]


def time_delay() -> Iterator[str]:
    """Milliseconds from an event's sending to its reading: direct, through a proxy, and what that adds."""
    with ExitStack() as stack:
        direct = stack.enter_context(upstream())
        ports = {"direct": direct}
        for name, port, line in commands(direct):
            stack.enter_context(process(port, *line))
            ports[name] = port
        for streams, pause, events in LOADS:
            found: dict[str, list[dict[str, list[float]]]] = {name: [] for name in ports}
            for _ in range(ROUNDS):
                for name, port in ports.items():
                    found[name].append(ages(port, streams, pause, events))
            yield f"{streams} streams at once, {pause * 1000:g} ms from event to event"
            yield from lines(found)


def time_small_calls() -> Iterator[str]:
    """Milliseconds of a small call on one connection, p50: direct, through the proxy, and what that adds."""
    with ExitStack() as stack:
        direct, port = free_port(), free_port()
        stack.enter_context(process(direct, sys.executable, "-m", "tests.bench.load", "upstream", str(direct)))
        stack.enter_context(process(port, *command("mpal start", port, f"http://127.0.0.1:{direct}")))
        rounds = [[make_calls(each, "json", SMALL_CALLS, 1)["p50"] for each in (direct, port)] for _ in range(ROUNDS)]
        base, through = (median(each[at] for each in rounds) for at in (0, 1))
        added = through - base
        yield f"direct {base:.3f}  mpal start {through:.3f}  adds {added:.3f} {at_most(added, SMALL_CALLS_MOST, 'ms')}"


def time_large_requests() -> Iterator[str]:
    """Milliseconds that events of 50 streams are late, alone and beside requests of 400 KB."""
    with ExitStack() as stack:
        direct, port = stack.enter_context(upstream()), free_port()
        stack.enter_context(process(port, *command("mpal start", port, f"http://127.0.0.1:{direct}")))
        alone = [ages(port, 50, 0.02, 200)["under way"] for _ in range(ROUNDS)]
        stop = threading.Event()
        sender = threading.Thread(target=send_large, args=(port, stop))
        sender.start()
        beside = [ages(port, 50, 0.02, 200)["under way"] for _ in range(ROUNDS)]
        stop.set()
        sender.join()
        for name, found in (("alone", alone), ("beside", beside)):
            middle, slow = (median(each[at] for each in found) * 1000 for at in (0, 1))
            yield f"{name:<7} p50 {middle:8.2f}  p99 {slow:8.2f}"


def send_large(port: int, stop: threading.Event) -> None:
    """Make calls with large requests until stopped."""
    body = json.dumps({"model": "kimi-k2.6", "messages": [], "events": 1, "pause": 0, "text": "word " * (LARGE // 5)})
    while not stop.wait(LARGE_PAUSE):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
        connection.close()


def lines(found: dict[str, list[dict[str, list[float]]]]) -> Iterator[str]:
    """Iterate over the lines of a table.

    They are about the time from the question to the first event of a stream, about the ages of all events, and about
    those of the events that were sent while all streams were under way.
    """
    for part in PARTS:
        base = [0.0, 0.0]
        for name, rounds in found.items():
            middle, slow = (median(each[part][at] for each in rounds) * 1000 for at in (0, 1))
            base = [middle, slow] if name == "direct" else base
            added = f"  adds {middle - base[0]:8.2f} {slow - base[1]:8.2f}" if name != "direct" else ""
            yield f"  {part:<9} {name:<17} p50 {middle:8.2f}  p99 {slow:8.2f}{added}"
