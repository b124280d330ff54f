"""How long predicates take on a store of 100,000 calls.

Each is asked for the newest ten calls, as `mpal list` does, and for how many calls there are, which has to look at all.
The first is what users wait for; the process of `mpal list` is measured whole as well.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.query.plans import plan
from moonpalace_addons.store.records import exchanges
from tests.bench import query_corpus

ROUNDS = 3
LIMIT, INDEXED_LIMIT = 1.0, 0.2
"""Seconds that a predicate may take, and one with an index."""

PREDICATES = (
    "request_body.model == 'moonshot-v1-128k' || request_body.model == 'moonshot-v1-8k'",
    "response_body.choices.0.finish_reason == 'length'",
    "request_body.model == 'nobody'",
    "request_body.stream == true",
    "response_body.model == 'moonshot-v1-8k'",
    "response_body.usage.total_tokens > 2290",
    "status == 429",
    "response_status_code == 400 || response_status_code == 401",
    "chatcmpl == 'chatcmpl-00000500'",
    "requested_at > -2h",
    "tags == 'seen'",
    "model == 'kimi-k2.6' && status == 500",
    "request_path ~ '%models%'",
    "request_path % '^/v2'",
    "latency > 30s",
    "state == 'timed_out'",
    "request_body.messages.-1.role == 'tool'",
    "request_body.messages.-1.role == 'nobody'",
    "request_body.messages.*.role == 'tool'",
    "request_body.messages.*.role == 'nobody'",
    "len(request_body.messages) > 20",
    "len(request_body.messages) > 200",
    "request_body.max_tokens",
    f"request_body ~ '{query_corpus.RARE}'",
    "request_body % 'quick(silver|gold) '",
    f"text ~ '{query_corpus.RARE}'",
    f"text ~ '{query_corpus.RARE_CHINESE}'",
    "text ~ 'nowhere to be found'",
    "text ~ 'nowhere'",
    "text ~ '无处'",
    f"text !~ '{query_corpus.RARE}'",
    f"text ~ '{' '.join(query_corpus.WORDS[:4])}'",
)
PROCESS = (*PREDICATES[:2], "request_body.messages.-1.role == 'nobody'", f"text ~ '{query_corpus.RARE}'")


def time_predicates() -> Iterator[str]:
    """Predicates on 100,000 calls: seconds for the newest ten, seconds to count all, calls found, what serves it."""
    from moonpalace_addons.store.query.condition import condition
    from moonpalace_addons.store.query.explaining import index_in

    file = query_corpus.store()
    engine = open_store(f"sqlite:///{file}")
    yield f"{file}: {file.stat().st_size / 1e6:.0f} MB"
    for predicate in PREDICATES:
        listed, _ = timed(lambda: exchanges.latest(engine, limit=10, where=condition([predicate], engine)))  # noqa: B023
        counted, count = timed(lambda: exchanges.count(engine, where=condition([predicate], engine)), rounds=1)  # noqa: B023
        index = index_in(plan(condition([predicate], engine), engine).steps)
        late = "  LATE" if listed > (INDEXED_LIMIT if index else LIMIT) else ""
        yield f"{listed:6.3f} s  {counted:6.3f} s  {count:>6}  {index or '-'}  {predicate}{late}"
    engine.dispose()


def time_list() -> Iterator[str]:
    """Run the whole process `mpal list -p PREDICATE` on the same store; first without a predicate."""
    file = query_corpus.store()
    for predicate in ("", *PROCESS):
        flags = ["-p", predicate] if predicate else []
        command = [sys.executable, "-m", "moonpalace_cli.main", "list", "--database", str(file), *flags]
        taken, _ = timed(lambda: subprocess.run(command, check=True, capture_output=True))  # noqa: B023
        yield f"{taken:6.3f} s  mpal list {' '.join(flags)}"


def timed[T](work: Callable[[], T], rounds: int = ROUNDS) -> tuple[float, T]:
    """Return the median seconds of some work, and its result."""
    seconds = []
    for _ in range(rounds):
        beginning = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - beginning)
    return statistics.median(seconds), result
