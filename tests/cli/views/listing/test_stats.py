"""Tests of statistics over calls."""

import json
from typing import cast

import pytest
from wcwidth import wcswidth

from moonpalace_addons.store.read.statistics import Measured
from moonpalace_addons.wire.json_text import dumps
from moonpalace_cli.views.listing import stats

MS = 10**6


def call(model: str | None = "kimi-k3", **changes: object) -> Measured:
    """Return a completed call with some numbers changed."""
    plain = [model, "completed", 200, None, 10, 5, 15, 4, 2, 20 * MS, 3 * MS, 100 * MS, None, None]
    names = ("model", "state", "status_code", "error_kind", *stats.MEASURED)
    return cast("Measured", tuple((dict(zip(names, plain, strict=True)) | changes).values()))


FAILED = [
    call(state="timed_out", status_code=None, error_kind="idle"),
    call(status_code=429, error_kind="rate_limit"),
    call(error_kind="server_error"),
]


def test_groups() -> None:
    """Calls are summed by model over all batches, most calls first."""
    groups = stats.add_up([[call(), call(None)], [call(), call("kimi-k2", cached_tokens=None)]])
    assert list(groups) == ["kimi-k3", None, "kimi-k2"]
    assert (groups["kimi-k3"].calls, groups["kimi-k3"].tokens) == (2, [20, 10, 30, 8, 4])
    assert groups["kimi-k2"].tokens == [10, 5, 15, 0, 2]
    assert groups["kimi-k3"].times == [[20 * MS] * 2, [3 * MS] * 2, [100 * MS] * 2]


def test_failures() -> None:
    """A call counts as an error once: by its state, its status, or an error in its stream; not one in flight."""
    under_way = call(state="in_flight", status_code=None, latency=None)
    (group,) = stats.add_up([[call(), under_way, *FAILED]]).values()
    assert (group.calls, group.in_flight, group.errors) == (5, 1, 3)
    assert dict(group.failures) == {"timed_out": 1, "429": 1, "server_error": 1}


@pytest.mark.parametrize(
    ("times", "expected"),
    [([], [None, None, None]), ([7], [7, 7, 7]), (list(range(1, 101)), [50, 90, 99]), ([1, 2, 3, 4], [2, 4, 4])],
)
def test_percentiles(times: list[int], expected: list[int | None]) -> None:
    """A percentile is the smallest time that this percentage of the calls does not exceed."""
    assert stats.percentiles(times) == expected


def test_document() -> None:
    """JSON has the total and each model, times in milliseconds."""
    groups = stats.add_up([[call(latency=None, ttft=1_234_567), call("b"), *FAILED]])
    document = json.loads(dumps(stats.document(groups)))
    assert (document["calls"], document["errors"], document["prompt_tokens"]) == (5, 3, 50)
    assert document["ttft_ms"] == {"p50": 20.0, "p90": 20.0, "p99": 20.0}
    assert document["ttft_histogram"] == [
        {"up_to_ms": 2, "calls": 1},
        {"up_to_ms": 5, "calls": 0},
        {"up_to_ms": 10, "calls": 0},
        {"up_to_ms": 20, "calls": 4},
    ]
    assert [model["model"] for model in document["models"]] == ["kimi-k3", "b"]
    assert document["models"][1]["failures"] == {}
    assert document["models"][1]["latency_ms"]["p99"] == 100.0


def test_no_calls() -> None:
    """Without calls all numbers are zero or unknown."""
    document = json.loads(dumps(stats.document({})))
    assert (document["calls"], document["latency_ms"]["p50"], document["models"]) == (0, None, [])
    assert "| all calls |     0 " in stats.report({}, None, blocks=True)


def test_costs() -> None:
    """Costs are summed by currency, and have a column if any is known."""
    calls = [call(cost=0.5, cost_currency="USD"), call(cost=2.0, cost_currency="CNY"), call("b", cost=None)]
    groups = stats.add_up([calls, calls])
    document = json.loads(dumps(stats.document(groups)))
    assert (document["costs"], document["models"][1]["costs"]) == ({"CNY": 4.0, "USD": 1.0}, {})
    lines = stats.report(groups, None, blocks=True).split("\n")
    assert [line.split("|")[-2].strip() for line in lines if line.startswith("|")][:5] == [
        *("cost", "4.00 CNY", "1.00 USD", "", "4.00 CNY")
    ]
    assert "cost" not in stats.report(stats.add_up([[call()]]), None, blocks=True)


def test_report() -> None:
    """The report has two tables, the failures and the histograms; frames are straight with Chinese names too."""
    groups = stats.add_up([[call(), call("月之暗面"), call(state="in_flight"), *FAILED]])
    text = stats.report(groups, None, blocks=False)
    lines = text.split("\n")
    assert "| 月之暗面  |     1 |      0 |     10 |          5 |    15 |      4 |         2 |" in lines
    assert "| all calls |     6 |      3 |     60 |         30 |    90 |     24 |        12 |" in lines
    assert "| 月之暗面  |  20ms  20ms  20ms | 3.0ms 3.0ms 3.0ms |   100ms 100ms 100ms |" in lines
    assert "under way: 1" in lines
    assert "errors: timed_out 1, 429 1, server_error 1" in lines
    assert "latency, 6 calls" in lines
    rows = [line for line in lines if line.startswith(("|", "+"))]
    assert {wcswidth(line) for line in rows[:7]} == {wcswidth(rows[0])}
    assert {wcswidth(line) for line in rows[7:]} == {wcswidth(rows[7])}


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_report_fits_the_terminal(width: int) -> None:
    """On a narrow terminal numbers are rounded; no line is wider than the terminal."""
    many = [call("moonshot-v1-128k-vision-preview", prompt_tokens=10**9), call("模型" * 12)] * 30
    text = stats.report(stats.add_up([many]), width, blocks=True)
    assert all(wcswidth(line) <= width for line in text.split("\n") if line.startswith(("|", "+")))
    assert ("30.0G" in text) is (width < 200)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9999, "9999"), (12_345, "12.3k"), (451_801_756, "452M"), (999_999, "1000k"), (10**16, "10000T")],
)
def test_rounded(number: int, text: str) -> None:
    """Large numbers are rounded to thousands, millions and so on."""
    assert stats.rounded(number) == text
