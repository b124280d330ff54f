"""Clients and upstreams that send endlessly do not disturb ordinary calls, and memory stays bounded.

`MOONPALACE_TEST_ENDLESS` is how many megabytes such a peer sends, and sets the limits to the defaults.
"""

import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.e2e import endless
from tests.e2e.launching import Launcher, Proxy

SCRIPT = str(Path(endless.__file__))
THOROUGH = int(os.environ.get("MOONPALACE_TEST_ENDLESS", "0"))
MOST = (THOROUGH or 4) * 1_000_000
SECONDS = 60.0 if THOROUGH else 0.25
LIMITS = () if THOROUGH else ("--max-body", "2MB")
CALLS = 20
LATER = 0.05 if THOROUGH else 1.0
"""Seconds by which a call may be slower than without load; a busy machine only shows a blocked loop.
"""
MEMORY = 400_000_000
ROUNDS = 3
"""Attempts to find that calls are not delayed: the machine has other work too."""

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read in /proc"),
]

ANSWERS: dict[str, tuple[int | None, ...]] = {
    "request line": (414, 431),
    "header": (431,),
    "headers": (431,),
    "blank lines": (431,),
    "body": (413,),
    "body of declared size": (413,),
    "chunks": (413,),
    "tiny chunks": (400,),
    "line of a chunk": (400, 431),
    "trailers": (400, 431),
    "WebSocket messages": (101,),
    "ahead of the answer": (None, 200, 400, 502),
}
"""Expected answers to clients, by engine; None if that depends on how much they can send in the time."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """Give the address of an upstream for ordinary calls and endless answers."""
    command = [sys.executable, SCRIPT, "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


@pytest.fixture(scope="module")
def plain(launch: Launcher, upstream: str) -> Iterator[Proxy]:
    """Provide a proxy that passes answers on unchanged."""
    with launch.start(*LIMITS, endpoint=upstream, fresh=bool(THOROUGH)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def changing(launch: Launcher, upstream: str) -> Iterator[Proxy]:
    """Provide a proxy that changes requests and answers in every possible way."""
    options = ("--force-stream", "--detect-repeat", "--stream-usage", "--cache-key-hint")
    with launch.start(*options, *LIMITS, endpoint=upstream, fresh=bool(THOROUGH)) as proxy:
        yield proxy


def durations(url: str) -> list[float]:
    """Make ordinary calls one after the other, and return the duration of each."""
    taken = []
    connection = http.client.HTTPConnection("127.0.0.1", port(url), timeout=60)
    for _ in range(CALLS):
        began = time.monotonic()
        connection.request("POST", endless.CHAT, endless.ORDINARY_REQUEST, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.read() == endless.ORDINARY
        taken.append(time.monotonic() - began)
    connection.close()
    return taken


@cache
def slowest_alone(url: str) -> float:
    """Return the duration of the slowest call without load."""
    return max(durations(url))


def port(url: str) -> int:
    """Return the port of a proxy."""
    return int(url.rpartition(":")[2])


def peak(pid: int) -> int:
    """Return the peak memory of a process in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def beside(proxy: Proxy, role: str, name: str) -> bytes:
    """Make ordinary calls while a peer sends endlessly; return the first answer to that peer."""
    slowest = slowest_alone(proxy.url)
    for number in range(ROUNDS):
        command = [sys.executable, SCRIPT, role, name, str(port(proxy.url)), str(MOST), str(SECONDS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            late = max(durations(proxy.url)) - slowest
            got, _ = process.communicate()
        peaks = peak(proxy.process.pid), peak(proxy.writer)
        assert max(peaks) < MEMORY
        if late <= LATER or number == ROUNDS - 1:
            break
    assert late <= LATER
    return got


def status(answer: bytes) -> int | None:
    """Return the status of an answer, skipping interim responses."""
    found = re.match(rb"(?:HTTP/1\.1 1(?!01)\d\d [^\r]*\r\n(?:[^\r]+\r\n)*\r\n)*HTTP/1\.1 (\d{3}) ", answer)
    return int(found[1]) if found else None


QUICK = {
    *("header", "headers", "body", "chunks", "tiny chunks", "trailers", "JSON", "events", "events without line ends"),
    *("gzip of JSON", "WebSocket messages"),
}
"""The cases outside the thorough run: one of each kind."""


def cases(names: Iterable[str]) -> list[str]:
    """Return the cases to run."""
    return [name for name in names if THOROUGH or name in QUICK]


@pytest.mark.parametrize("name", cases(endless.CLIENTS))
def test_clients(plain: Proxy, name: str) -> None:
    """A client that sends endlessly is answered while it sends, and does not delay other calls."""
    got = beside(plain, "send", name)
    assert status(got) in ANSWERS[name], got[:200]


@pytest.mark.parametrize("name", cases(endless.UPSTREAMS))
def test_upstreams(plain: Proxy, name: str) -> None:
    """An endless answer is passed on or aborted, and does not delay other calls."""
    got = beside(plain, "receive", name)
    assert status(got) in (101, 200, 400, 502)


CHANGED = [name for name, sent in endless.UPSTREAMS.items() if b"event-stream" in sent.start]


@pytest.mark.parametrize("name", cases(CHANGED))
def test_upstreams_of_changed_streams(changing: Proxy, name: str) -> None:
    """The same applies to streams that are parsed on the way."""
    beside(changing, "receive", name)
