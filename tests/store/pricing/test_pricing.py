"""Tests of the cost of a call, from its row."""

import logging

import pytest

from moonpalace_addons.store.pricing import price_list
from moonpalace_addons.store.pricing.pricing import NO_COST, READ, Pricing
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.wire.prices import PriceRule, Rates

ROW: Values = dict.fromkeys(READ) | {
    "endpoint": "https://api.moonshot.cn",
    "started_at": 1_796_000_000_000_000,
    "model_requested": "kimi-k3",
    "model_answered": "kimi-k3",
    "prompt_tokens": 1000,
    "completion_tokens": 50,
    "cached_tokens": 256,
}
CHEAP = PriceRule("kimi-*", Rates(1.0, 2.0, 0.5, currency="CNY"))
ELSEWHERE = PriceRule("*", Rates(9.0, 9.0), "https://elsewhere")


def cost(changes: Values, *rules: PriceRule) -> tuple[object, object]:
    """Return cost and currency of a call."""
    columns = Pricing(rules).columns(ROW | changes)
    assert columns.keys() == NO_COST.keys()
    return columns["cost"], columns["cost_currency"]


def test_all_columns() -> None:
    """A cost has its parts, and the prices of input that it was calculated from."""
    assert Pricing().columns(ROW) == {
        "cost": 0.0030588,
        "cost_input": 0.002232,
        "cost_cached": 0.0000768,
        "cost_output": 0.00075,
        "cost_currency": "USD",
        "price_input": 3.0,
        "price_cached": 0.3,
    }


def test_where_a_cost_comes_from() -> None:
    """Prices of the user take precedence over the API's reported cost, and that over the list."""
    reported: Values = {"reported_cost": 0.5}
    assert cost({}) == (0.0030588, "USD")
    assert cost(reported) == (0.5, "USD")
    assert cost(reported, ELSEWHERE) == (0.5, "USD")
    assert cost(reported, ELSEWHERE, CHEAP) == (0.000972, "CNY")
    assert Pricing().columns(ROW | reported)["cost_input"] is None


def test_the_first_rule_that_holds_counts() -> None:
    """Rules are tried in order, first for the model that answered, then for the requested one."""
    free = PriceRule("kimi-k3", Rates(0.0, 0.0))
    assert cost({}, free, CHEAP) == (0.0, "USD")
    assert cost({}, CHEAP, free) == (0.000972, "CNY")
    assert cost({"model_answered": "other"}, free) == (0.0, "USD")
    assert cost({"endpoint_name": "home"}, PriceRule("*", Rates(0.0, 0.0), "home")) == (0.0, "USD")


def test_what_is_unknown_has_no_cost() -> None:
    """Without tokens, a model, or a price there is no cost."""
    for changes in (
        {"prompt_tokens": None},
        {"model_answered": "x", "model_requested": None},
        {"endpoint": "http://l"},
    ):
        assert Pricing().columns(ROW | changes) == NO_COST
    assert cost({"model_answered": None, "model_requested": None}, CHEAP) == (None, None)


def test_embeddings_cost_their_prompt() -> None:
    """A call without output costs its prompt."""
    assert cost({"completion_tokens": None, "cached_tokens": None}) == (0.003, "USD")


def test_a_fault_costs_only_the_cost(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """If the list fails, the call has no cost, and the log says why."""

    def fails(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(price_list, "rates", fails)
    with caplog.at_level(logging.ERROR):
        assert Pricing().columns(ROW) == NO_COST
    assert "cost of a call" in caplog.text
