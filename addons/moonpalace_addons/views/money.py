"""Format amounts of money for people."""

SIGNS = {"CNY": "¥", "USD": "$"}


def amount(value: float) -> str:
    """Return an amount of money: cents in full, and enough of smaller ones."""
    return f"{value:,.2f}" if value >= 100 else f"{value:.4f}" if value >= 0.01 or value == 0 else f"{value:.6f}"


def price(cost: float | None, currency: str | None) -> str:
    """Return what a call cost, with the sign of the currency; empty if that is unknown."""
    if cost is None:
        return ""
    sign = SIGNS.get(currency or "")
    return f"{sign}{amount(cost)}" if sign else f"{amount(cost)} {currency or ''}".rstrip()
