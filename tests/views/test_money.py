"""Tests of amounts of money."""

import pytest

from moonpalace_addons.views.money import price


@pytest.mark.parametrize(
    ("cost", "currency", "shown"),
    [
        (None, "CNY", ""),
        (0.0213, "CNY", "¥0.0213"),
        (0.4, "CNY", "¥0.40"),
        (0.0, "CNY", "¥0.00"),
        (0.00002, "USD", "$0.00002"),
        (0.0000004, "USD", "$0.0000004"),
        (1234.5, "CNY", "¥1,234.50"),
        (2.0, "EUR", "€2.00"),
        (2.0, None, "2.00"),
    ],
)
def test_prices(cost: float | None, currency: str | None, shown: str) -> None:
    """A price has the sign of its currency, or its name."""
    assert price(cost, currency) == shown
