"""Tests of `mpal cost`."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from moonpalace_addons.store.read.costs import Spent
from moonpalace_cli.views.costs import table
from tests.cli.conftest import Mpal, Outcome, Store

PRICED: dict[str, Any] = {
    "prompt_tokens": 1000,
    "cached_tokens": 400,
    "completion_tokens": 100,
    "cost": 0.0035,
    "cost_input": 0.0018,
    "cost_cached": 0.0002,
    "cost_output": 0.0015,
    "cost_currency": "USD",
    "price_input": 3.0,
    "price_cached": 0.5,
}
MILLION: dict[str, Any] = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "endpoint": "http://local"}


def members(result: Outcome, *names: str) -> list[tuple[object, ...]]:
    """Return these members of each printed object."""
    assert (result.code, result.err) == (0, "")
    return [tuple(json.loads(line)[name] for name in names) for line in result.out.splitlines()]


@pytest.fixture
def calls(store: Store) -> Store:
    """Store calls of two models, in two currencies and without a cost."""
    store.add(**PRICED, session="s-1", started_at=datetime(2026, 11, 22, 15, 59, tzinfo=UTC))
    store.add(**PRICED, session="s-2", started_at=datetime(2026, 11, 22, 16, 1, tzinfo=UTC))
    store.add(**PRICED | {"cost_currency": "CNY", "cost": 20.0}, endpoint_name="kimi")
    store.add(model_answered="other", prompt_tokens=5, completion_tokens=None)
    return store


def test_table(calls: Store, mpal: Mpal) -> None:
    """Groups have a line for each currency, most expensive first; those without a cost are last, and explained."""
    result = mpal("cost")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.out.splitlines() if "|" in line]
    titles = ["prompt", "cached", "completion", "for input", "for cached", "for output", "cost", "saved", "in"]
    assert cells == [
        ["model", "calls", *titles],
        ["kimi-k3", "1", "1,000", "400", "100", "0.0018", "0.0002", "0.0015", "20.00", "0.001", "CNY"],
        ["kimi-k3", "2", "2,000", "800", "200", "0.0036", "0.0004", "0.003", "0.007", "0.002", "USD"],
        ["other", "1", "5", "0", "0", "", "", "", "", "", ""],
    ]
    assert result.err.startswith("no cost for 1 call with tokens: their price is unknown")


def test_more_tokens_than_there_are(store: Store, mpal: Mpal) -> None:
    """Implausible numbers of a server neither overflow nor save more than the whole prompt costs."""
    huge = {"prompt_tokens": 2**63 - 1, "cached_tokens": 0, "completion_tokens": 2**63 - 1}
    store.add(**PRICED | huge, model_answered="huge")
    store.add(**PRICED | huge, model_answered="huge")
    store.add(**PRICED | {"cached_tokens": 50_000})
    assert members(mpal("cost", "--json"), "model", "calls", "cost_saved") == [("huge", 2, 0.0), ("kimi-k3", 1, 0.0025)]


def test_only_calls_with_tokens_lack_a_cost(calls: Store, mpal: Mpal) -> None:
    """A failed call has no price, and needs none, whatever other calls of its model have."""
    calls.add(model_answered="other", prompt_tokens=None, completion_tokens=None)
    assert mpal("cost").err.startswith("no cost for 1 call with tokens: ")


def test_sums(calls: Store, mpal: Mpal) -> None:
    """Several groups of one currency are followed by their sum."""
    lines = mpal("cost", "--by", "session", "-p", "cost_currency == 'USD'").out.splitlines()
    assert [line.split("|")[1].strip() for line in lines if "|" in line] == ["session", "s-1", "s-2", "total"]
    assert "|     2 |  2,000" in lines[-2]


def test_json(calls: Store, mpal: Mpal) -> None:
    """Programs get all numbers of each group."""
    lines = [json.loads(line) for line in mpal("cost", "--json").out.splitlines()]
    assert lines[1] == {
        "model": "kimi-k3",
        "currency": "USD",
        "calls": 2,
        "prompt_tokens": 2000,
        "cached_tokens": 800,
        "completion_tokens": 200,
        "cost_input": 0.0036,
        "cost_cached": 0.0004,
        "cost_output": 0.003,
        "cost": 0.007,
        "cost_saved": 0.002,
    }
    assert [(line["model"], line["currency"], line["cost"]) for line in lines[::2]] == [
        ("kimi-k3", "CNY", 20.0),
        ("other", None, None),
    ]


def test_groups(calls: Store, mpal: Mpal) -> None:
    """Calls are summed by local day, session, endpoint or tag; a call with two tags counts under both."""
    named = ("currency", "calls")
    assert members(mpal("cost", "--by", "day", "--json"), "day", *named) == [
        ("2026-11-22", "USD", 1),
        ("2026-11-23", "CNY", 1),
        ("2026-11-23", "USD", 1),
        ("2026-11-23", None, 1),
    ]
    assert (None, None, 1) in members(mpal("cost", "--by", "session", "--json"), "session", *named)
    assert ("s-1", "USD", 1) in members(mpal("cost", "--by", "session", "--json"), "session", *named)
    assert members(mpal("cost", "--by", "endpoint", "--json"), "endpoint", *named)[0] == ("kimi", "CNY", 1)
    mpal("label", "--id", "1", "--tag", "a", "--tag", "b")
    tagged = members(mpal("cost", "--by", "tag", "--json"), "tag", *named)
    assert tagged == [(None, "CNY", 1), (None, "USD", 1), ("a", "USD", 1), ("b", "USD", 1), (None, None, 1)]


def test_filters(calls: Store, mpal: Mpal) -> None:
    """The filters of the other commands choose the calls."""
    assert members(mpal("cost", "--json", "--model", "other"), "model", "calls") == [("other", 1)]
    assert members(mpal("cost", "--json", "-p", "cost > 1"), "cost") == [(20.0,)]
    assert mpal("cost", "--json", "--since", "2030-01-01").out == ""


def test_reprice(store: Store, mpal: Mpal, tmp_path: Path) -> None:
    """After a change of prices the costs of the selected calls are calculated again."""
    config = tmp_path / "home" / "config.yaml"
    config.write_text("prices: {kimi-*: {input: 2, output: 8, currency: CNY}}", encoding="utf-8")
    store.add(**MILLION)
    store.add(**MILLION | {"endpoint": "https://api.moonshot.cn", "model_requested": "x", "model_answered": "x"})
    store.add(**MILLION)
    first = mpal("cost", "--json", "--reprice", "-p", "id < 3")
    assert first.err == "1 of 2 costs have changed\n"
    assert [json.loads(line)["cost"] for line in first.out.splitlines()] == [2.0, None]
    config.write_text("prices: {kimi-*: {input: 1, output: 8}}", encoding="utf-8")
    assert mpal("cost", "--reprice").err.startswith("2 of 3 costs have changed\nno cost for 1 call")
    assert members(mpal("cost", "--json"), "model", "cost", "currency") == [("kimi-k3", 2.0, "USD"), ("x", None, None)]


def test_bad_prices_stop_only_this_command(store: Store, mpal: Mpal, tmp_path: Path) -> None:
    """A mistake in config.yaml is one line here, and does not affect other commands."""
    (tmp_path / "home" / "config.yaml").write_text("prices: {kimi-k3: {input: free}}", encoding="utf-8")
    result = mpal("cost")
    assert result.code == 2
    assert "line 1: prices.kimi-k3 must have output" in result.err
    assert mpal("list").code == 0


@pytest.mark.parametrize("order", ["cost", "-cost", "-calls", "name", "-completion_tokens"])
def test_sorted(calls: Store, mpal: Mpal, order: str) -> None:
    """Groups are in the requested order, those without an amount last."""
    column = order.removeprefix("-").replace("name", "model")
    values: list[Any] = [value for (value,) in members(mpal("cost", "--json", "--sort", order), column)]
    known = [value for value in values if value is not None]
    assert values == sorted(known, reverse=order.startswith("-")) + [None] * (len(values) - len(known))
    assert len(values) == 3


def test_a_day_has_one_row_for_each_currency(store: Store, mpal: Mpal) -> None:
    """Calls without a cost are counted with the others of their day, and days are followed by their total."""
    for hour in (1, 30):
        store.add(**PRICED, started_at=datetime(2026, 11, 21, tzinfo=UTC) + timedelta(hours=hour))
        store.add(model_answered="other", started_at=datetime(2026, 11, 21, tzinfo=UTC) + timedelta(hours=hour))
    lines = [line.split("|") for line in mpal("cost", "--by", "day").out.splitlines() if "|" in line]
    rows = [[cell.strip() for cell in line[1:-1]] for line in lines[1:]]
    assert [(row[0], row[1], row[-3], row[-1]) for row in rows] == [
        ("2026-11-21", "2", "0.0035", "USD"),
        ("2026-11-22", "2", "0.0035", "USD"),
        ("total", "4", "0.007", "USD"),
    ]


def test_a_table_at_80_columns(calls: Store) -> None:
    """Many models with long names are lines of one table, without the parts of the cost, with short counts."""
    group = Spent("a-model-with-quite-a-long-name-of-2026", "CNY", 1234, 1234, 12_345_678, 1_234_567, 99_999)
    lines = table("model", [group, replace(group, name="b", currency=None)], 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == 6
    assert [cell.strip() for cell in lines[1].split("|")[1:-1]] == [
        *("model", "calls", "prompt", "cached", "output", "cost", "saved", "in"),
    ]
    assert "| 1,234 |    12M |   1.2M |   100k | 0.00 |" in lines[3]


def test_nothing_has_a_price() -> None:
    """Empty columns of amounts are left out."""
    lines = table("model", [Spent("m", None, 1, 1, 5, 0, 7)], 80).splitlines()
    assert lines[1] == "| model | calls | prompt | cached | completion |"
