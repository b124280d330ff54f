"""Tests of statistics over time."""

import random
from datetime import datetime
from typing import cast

from moonpalace_addons.store.read.statistics import Measured
from moonpalace_cli.views.listing import stats
from moonpalace_cli.views.listing.over_time import OverTime, over_time
from moonpalace_cli.views.listing.periods import MICROSECONDS, start_text

MS = 10**6
HOUR = 3600 * MICROSECONDS
START = int(datetime.fromisoformat("2026-11-30T09:00+08:00").timestamp()) * MICROSECONDS


def call(at: int, model: str | None = "kimi-k3", status: int = 200, latency: int = 100 * MS) -> Measured:
    """Return a completed call that began this many microseconds after the start."""
    values = (model, "completed", status, None, 10, 5, 15, 4, 2, 20 * MS, 3 * MS, latency, 0.5, "CNY", START + at)
    return cast("Measured", values)


def sums(found: OverTime) -> list[tuple[str, int, int]]:
    """Return the start, the calls and the errors of each period."""
    return [(start_text(each.start, found.width), each.group.calls, each.group.errors) for each in found.periods]


def test_periods() -> None:
    """Calls are counted in the period in which they began; empty periods are included."""
    result = over_time([[call(0), call(59 * MICROSECONDS, status=429)], [call(130 * MICROSECONDS, None)]])
    assert sums(result) == [("2026-11-30 09:00", 2, 1), ("2026-11-30 09:01", 0, 0), ("2026-11-30 09:02", 1, 0)]
    assert {name: group.calls for name, group in result.models.items()} == {"kimi-k3": 2, None: 1}


def test_none() -> None:
    """Without calls there are no periods."""
    result = over_time([])
    assert (result.periods, result.models) == ([], {})


def test_the_order_of_calls_does_not_matter() -> None:
    """Calls in any order and in batches of any size give the same sums."""
    author = random.Random(17)
    calls = [call(author.randrange(50 * HOUR), author.choice(["a", "b", None]), author.choice([200, 500]), at * MS)
             for at in range(1, 300)]  # fmt: skip
    calls += [call(-30 * HOUR), call(26 * HOUR)]
    expected = over_time([calls])
    assert expected.width.name == "6 hours"
    for size in (1, 7, 100):
        author.shuffle(calls)
        result = over_time([calls[at : at + size] for at in range(0, len(calls), size)])
        assert result == expected


def test_the_same_sums_as_without_time() -> None:
    """By model, and in total, it agrees with `mpal list --stats`."""
    calls = [call(at * HOUR, model, latency=at * MS) for at in range(1, 80) for model in ("a", "b")]
    plain = stats.add_up([[cast("Measured", each[:-1]) for each in calls]])
    assert stats.document(over_time([calls[:50], calls[50:]]).models) == stats.document(plain)
