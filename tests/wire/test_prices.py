"""Tests of prices and of what calls cost."""

import pytest

from moonpalace_addons.wire.prices import Cost, PriceRule, Rates, Tokens, cost_of

K3 = Rates(3.0, 15.0, 0.3, currency="USD")
CLAUDE = Rates(3.0, 15.0, 0.3, 3.75, 6.0)

COSTS: dict[str, tuple[Tokens, Rates, Cost]] = {
    "all parts": (Tokens(1000, 50, 256), K3, Cost(0.002232, 0.0000768, 0.00075, 3.0, 0.3, "USD")),
    "nothing cached": (Tokens(1_000_000), K3, Cost(3.0, 0.0, 0.0, 3.0, 0.3, "USD")),
    "no price for cached tokens": (Tokens(10, 0, 10), Rates(1.0, 1.0), Cost(0.0, 0.00001, 0.0, 1.0, 1.0, "USD")),
    "written for five minutes": (Tokens(1000, 0, 0, 600), CLAUDE, Cost(0.00345, 0.0, 0.0, 3.0, 0.3, "USD")),
    "written for an hour": (Tokens(1000, 0, 0, 600, 100), CLAUDE, Cost(0.003675, 0.0, 0.0, 3.0, 0.3, "USD")),
    "written, without a price for it": (Tokens(1000, 0, 0, 600, 600), K3, Cost(0.003, 0.0, 0.0, 3.0, 0.3, "USD")),
    "more cached than there is": (Tokens(10, 0, 99, 99, 99), K3, Cost(0.0, 0.000003, 0.0, 3.0, 0.3, "USD")),
    "free": (Tokens(10, 10), Rates(0.0, 0.0, currency="CNY"), Cost(0.0, 0.0, 0.0, 0.0, 0.0, "CNY")),
}


@pytest.mark.parametrize("name", COSTS)
def test_cost(name: str) -> None:
    """Each kind of token has its own price; a missing price is that of input."""
    tokens, rates, expected = COSTS[name]
    assert cost_of(tokens, rates) == expected
    assert cost_of(tokens, rates).total == pytest.approx(expected.input + expected.cached + expected.output)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (("kimi-k3",), True),
        (("KIMI-*",), True),
        (("kimi-k?",), True),
        (("*",), True),
        (("kimi",), False),
        (("kimi-k3-*",), False),
        (("kimi-k3", "moon"), True),
        (("kimi-k3", "api.moonshot.cn"), True),
        (("kimi-k3", "https://api.moonshot.cn"), True),
        (("kimi-k3", "sun"), False),
        (("kimi-k3", "api.moonshot.ai"), False),
    ],
)
def test_rules(rule: tuple[str, str | None], expected: bool) -> None:
    """A rule applies to the models that match its pattern, at its endpoint if it names one."""
    model, *endpoint = rule
    made = PriceRule(model, K3, *endpoint)
    assert made.holds("Kimi-k3", "https://api.moonshot.cn", "moon") is expected
