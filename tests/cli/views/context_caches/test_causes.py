"""Reasons why tokens were not cached."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from moonpalace_addons.store.state import State
from moonpalace_cli.views.context_caches.causes import (
    Cause,
    Cost,
    cause_of,
    explained,
    had_ended,
    price_of,
    said_by_api,
)
from moonpalace_cli.views.context_caches.prefix_comparison import Comparison, Divergence
from moonpalace_cli.views.context_caches.prompts import Request
from tests.tables import for_each

PLAIN = Request("k", (), (b"x",), {})
HOUR = Request("k", (), (b"x",), {}, 1, 1024, 3600)
UNMARKED = Request("k", (), (b"x",), {}, 1, 1024, is_marked=False)
PART = Divergence(1, "system", "changed", 0, "a", "b")


def comparison(divergence: Divergence | None = None, *, same_model: bool = True) -> Comparison:
    """Return the common part of two requests."""
    return Comparison(1, 1, 1, True, same_model, (), divergence)


CAUSES: dict[str, tuple[float, Request, Comparison, Cost, Cause]] = {
    "all cached": (1, PLAIN, comparison(), Cost(1000, 512, 512, 512, 0), "cached"),
    "unknown": (1, PLAIN, comparison(), Cost(None, 0, None, None, None), "unknown"),
    "a change": (1, PLAIN, comparison(PART), Cost(1000, 256, 768, 512, 512), "changed"),
    "a change at the start": (900, PLAIN, comparison(PART), Cost(1000, 0, 768, 0, 768), "changed"),
    "another model": (1, PLAIN, comparison(same_model=False), Cost(1000, 0, 0, 0, 0), "other model"),
    "a late change, and nothing cached": (400, PLAIN, comparison(PART), Cost(9000, 0, 8192, 8192, 8192), "expired"),
    "a late change, soon": (10, PLAIN, comparison(PART), Cost(9000, 0, 8192, 8192, 8192), "lost"),
    "a prefix too short to cache": (1, HOUR, comparison(PART), Cost(2000, 0, 1900, 1000, 1900), "changed"),
    "the time over": (3601, HOUR, comparison(), Cost(1000, 0, 900, 900, 900), "expired"),
    "the time not over": (3599, HOUR, comparison(), Cost(1000, 0, 900, 900, 900), "lost"),
    "perhaps over": (301, PLAIN, comparison(), Cost(1000, 0, 768, 768, 768), "expired"),
    "hardly": (299, PLAIN, comparison(), Cost(1000, 0, 768, 768, 768), "lost"),
    "not asked for": (1, UNMARKED, comparison(), Cost(1000, 0, 900, 900, 900), "unmarked"),
}


@for_each("name", CAUSES)
def test_causes(name: str) -> None:
    """A changed prompt is distinguished from an expired cache, by the cached tokens and the time between the calls."""
    seconds, before, compared, cost, expected = CAUSES[name]
    assert cause_of(seconds, before, before, compared, cost) == expected


@pytest.mark.parametrize(
    ("cause", "before", "words"),
    [
        ("expired", HOUR, "expired: 4,000 s had passed, and the cache's lifetime was 3,600 s"),
        ("expired", PLAIN, "probably expired: 4,000 s had passed, and caches usually live for 5 to 10 minutes"),
        ("lost", PLAIN, "lost: only 4,000 s had passed: another machine"),
        ("unmarked", UNMARKED, "unmarked: neither request has a cache_control"),
    ],
)
def test_words(cause: Cause, before: Request, words: str) -> None:
    """A likely cause is described as likely."""
    assert str(explained(cause, 4000, before, Cost(1000, 256, 900, 900, 644))).startswith(words)


def test_words_for_what_was_not_cached() -> None:
    """Nothing is said to have been cached if nothing was; less than a second is shown in milliseconds."""
    cost = Cost(1000, 0, 768, 0, 768)
    assert (
        str(explained("changed", 1, PLAIN, cost)) == "changed: the part before the difference is too short to be cached"
    )
    assert str(explained("lost", 0.064, PLAIN, cost)).startswith("lost: only 64 ms had passed: ")
    assert str(explained("lost", 0.0002, PLAIN, cost)).startswith("lost: only 0.2 ms had passed: ")


def test_a_call_in_flight() -> None:
    """A call in flight may not have cached its prompt; this does not matter for changes before that."""
    whole, start = Cost(9000, 0, 8192, 8192, 8192), Cost(9000, 0, 8192, 0, 8192)
    assert cause_of(1, PLAIN, PLAIN, comparison(), whole, ended=False) == "not ended"
    assert cause_of(1, PLAIN, PLAIN, comparison(PART), start, ended=False) == "changed"
    assert cause_of(1, PLAIN, PLAIN, comparison(same_model=False), Cost(9000, 0, 0, 0, 0), ended=False) == "other model"


@pytest.mark.parametrize(
    ("latency", "state", "ended"),
    [
        (999_000_000, State.COMPLETED, True),
        (1_001_000_000, State.COMPLETED, False),
        (None, State.IN_FLIGHT, False),
        (None, State.PROXY_DIED, True),
    ],
)
def test_the_end_of_a_call(latency: int | None, state: State, ended: bool) -> None:
    """A call has ended after its latency."""
    start = datetime(2026, 11, 30, tzinfo=UTC)
    earlier = cast(Any, SimpleNamespace(started_at=start, latency=latency, state=state))
    assert had_ended(earlier, cast(Any, SimpleNamespace(started_at=start + timedelta(seconds=1)))) is ended


def test_price() -> None:
    """A miss costs the difference between the call's prices; without them it is unknown."""
    call = cast(Any, SimpleNamespace(price_input=3.0, price_cached=0.5, cost_currency="CNY"))
    assert price_of(call, 2_000_000) == (5.0, "CNY")
    assert price_of(call, None) is None
    call.price_cached = None
    assert price_of(call, 5) is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'{"diagnostics": {"cache_miss_reason": "tools_changed"}}', "tools_changed"),
        (b'{"diagnostics": {"cache_miss_reason": {"type": "a", "n": 1}}}', '{"type": "a", "n": 1}'),
        (b'{"diagnostics": {"cache_miss_reason": null}}', None),
        (b'{"diagnostics": 1}', None),
        (b"data: x", None),
    ],
)
def test_what_the_api_says(answer: bytes, said: str | None) -> None:
    """The API's own reason is used unchanged."""
    assert said_by_api(answer) == said
