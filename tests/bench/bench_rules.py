"""What rules that report calls cost, in CPU of their process.

    python -m tests.bench rules

What they cost a proxy is measured beside one without rules, where `--config` names a file with some:

    python -m tests.bench throughput --rounds 2 --calls 1000 --only "mpal start" \
        --peer "rules=mpal start --config FILE --port {port} --endpoint {upstream}"
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from moonpalace_addons.settings.reports import Destination, ReportRule
from moonpalace_addons.settings.values import Settings
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.writer_process import messages
from moonpalace_addons.writer_process.messages import Opening
from moonpalace_cli.reporting.running import Reporter
from tests.bench.bench_search_index import write
from tests.bench.bench_store import begun
from tests.bench.store_load import Author, Call, session, unrelated

ROUNDS = 5
RULES = (
    ("none fails", "status_code >= 500 || error"),
    ("none is slow", "latency > 10m"),
    ("none has a message", "request_body.messages.*.role == 'nobody'"),
    ("each is reported", "latency >= 0"),
)
DISK = Destination("disk", "folder", tempfile.gettempdir())


@contextmanager
def stored(calls: list[Call]) -> Iterator[Engine]:
    """Give a store with these calls."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_store(f"sqlite:///{Path(folder) / 'moonpalace.sqlite'}", create=True)
        batch, author = begun(engine), Author(3)
        for number, call in enumerate(calls):
            write(engine, batch, call, number, author)
        yield engine
        engine.dispose()


def spent(engine: Engine, when: str, name: str) -> tuple[float, float]:
    """Return the seconds of CPU of a turn in which all calls are new, and of one without new calls."""
    rule = ReportRule(name, when, DISK.name, delay=3600)
    reporter = Reporter(engine, [rule], [DISK], os.environ, print, print, since=0)
    reporter._progress(rule)
    times = [time.thread_time()]
    for _ in range(2):
        reporter.turn()
        times.append(time.thread_time())
    return times[1] - times[0], times[2] - times[1]


def time_turns() -> Iterator[str]:
    """CPU of a turn: for each call that it sees for the first time, and of one that sees none."""
    for kind, calls in (("small calls", list(unrelated(1000, 2000, streamed=False))), ("an agent's", agents())):
        with stored(calls) as engine:
            for about, when in RULES:
                found = [spent(engine, when, f"{about} {number}") for number in range(ROUNDS)]
                first, idle = (min(each) for each in zip(*found, strict=True))
                each = first / len(calls) * 1e6
                yield f"{kind}, {about:20} {each:6.1f} us a call, {idle * 1e3:.2f} ms without any ({when})"


def agents() -> list[Call]:
    """Return the calls of some sessions of an agent, each of which resends all previous messages."""
    return [call for _ in range(3) for call in session(streamed=False)]


def time_start() -> Iterator[str]:
    """CPU of the process of the rules from its start to its first turn."""
    with stored([]) as engine:
        rule = ReportRule("errors", RULES[0][1], DISK.name)
        given = Opening(Settings(database=str(engine.url), rules=(rule,), reports=(DISK,), home=Path("/")), {})
        found = []
        for _ in range(ROUNDS):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-P", "-m", "moonpalace_cli.reporting"]
            paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
            with subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | paths) as process:
                assert process.stdin is not None
                messages.write(process.stdin, given)
                time.sleep(3)  # its end is read before its first turn otherwise
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        yield f"{min(found):.2f} s"
