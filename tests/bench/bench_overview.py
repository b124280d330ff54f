"""How long the console's overview takes on a store of 100,000 calls: `python -m tests.bench overview`."""

from collections.abc import Iterator

from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.read.statistics import measured
from moonpalace_cli.views.listing import stats
from moonpalace_cli.views.listing.over_time import FIELDS
from moonpalace_cli.web.pages.overview_page import overview_of
from tests.bench import query_corpus
from tests.bench.bench_query import timed
from tests.bench.wanted import at_most

ROUNDS = 5
WANTED = 1.0
"""Seconds that the overview of all calls may take."""


def time_overview() -> Iterator[str]:
    """Seconds on the server for the overview, and for less: reading its numbers, the sums of `mpal list --stats`."""
    engine = open_store(f"sqlite:///{query_corpus.store()}")
    read, _ = timed(lambda: sum(len(batch) for batch in measured(engine, FIELDS)), ROUNDS)
    yield f"{read:6.3f} s  reading"
    sums, _ = timed(lambda: stats.add_up(measured(engine, stats.MEASURED)), ROUNDS)
    yield f"{sums:6.3f} s  sums without time"
    for query in ("", "status == 200", "requested_at > -7d"):
        taken, found = timed(lambda query=query: overview_of(engine, query), ROUNDS)  # type: ignore[misc]
        shown = f"overview of {query or 'all':<20} {len(found.periods)} bars"
        yield f"{taken:6.3f} s  {shown}  {at_most(taken, WANTED, 's')}"
    engine.dispose()
