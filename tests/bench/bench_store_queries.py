"""How long users wait for a store of 100,000 calls: the numbers to hold, on the calls of `bench_query`."""

import subprocess
import sys
from collections.abc import Iterator

from tests.bench import bench_query, query_corpus
from tests.bench.wanted import at_most

ROUNDS = 7
HELP, LIST = 0.2, 0.5
"""Maximum seconds."""


def time_commands() -> Iterator[str]:
    """Seconds that the processes `mpal --help` and `mpal list` take on 100,000 calls."""
    file = query_corpus.store()
    for most, arguments in ((HELP, ["--help"]), (LIST, ["list", "--database", str(file)])):
        command = [sys.executable, "-m", "moonpalace_cli.main", *arguments]
        taken, _ = bench_query.timed(lambda: subprocess.run(command, check=True, stdout=-3), ROUNDS)  # noqa: B023
        yield f"{taken:6.3f} s  mpal {arguments[0]:<7} {at_most(taken, most, 's')}"


def time_predicates() -> Iterator[str]:
    """Seconds that predicates take on 100,000 calls; wanted: at most 1 s for the newest ten, 0.2 s with an index."""
    yield from bench_query.time_predicates()
