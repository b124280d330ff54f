"""Tests of calculating the costs of stored calls again."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.pricing import repricing
from moonpalace_addons.store.pricing.pricing import Pricing
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.wire.prices import PriceRule, Rates

CHEAP = Pricing([PriceRule("kimi-*", Rates(1.0, 2.0, currency="CNY"))])


def costs(engine: Engine) -> list[tuple[float | None, str | None]]:
    """Return cost and currency of all calls, oldest first."""
    return [(call.cost, call.cost_currency) for call in reversed(exchanges.latest(engine, limit=None))]


def test_reprice(engine: Engine, add: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs are updated to the new prices, in transactions of a bounded size; correct ones are not changed."""
    monkeypatch.setattr(repricing, "AT_ONCE", 3)
    call = {"model_answered": None, "prompt_tokens": 1_000_000, "completion_tokens": 0, "endpoint": "http://l"}
    for number in range(4):
        add(model_requested="kimi-k3" if number % 2 else "unknown", **call)
    assert list(repricing.reprice(engine, CHEAP)) == [(3, 1), (4, 2)]
    assert costs(engine) == [(None, None), (1.0, "CNY")] * 2
    assert list(repricing.reprice(engine, CHEAP)) == [(3, 0), (4, 0)]
    assert list(repricing.reprice(engine, Pricing(), EXCHANGES.c.id <= 2)) == [(2, 1)]
    assert costs(engine) == [(None, None)] * 3 + [(1.0, "CNY")]
