"""Format amounts of money for people."""

SIGNS = {"CNY": "¥", "EUR": "€", "USD": "$"}


def amount(value: float) -> str:
    """Return an amount of money: at least two decimals, and more of small ones unless they are zeros."""
    decimals = 2 if value >= 100 else 4 if value >= 0.01 else 6 if value >= 0.0001 else 9
    whole, _, digits = f"{value:,.{decimals}f}".partition(".")
    return f"{whole}.{digits.rstrip('0').ljust(2, '0')}"


def price(cost: float | None, currency: str | None) -> str:
    """Return a cost with the sign of its currency; empty if it is unknown."""
    if cost is None:
        return ""
    sign = SIGNS.get(currency or "")
    return f"{sign}{amount(cost)}" if sign else f"{amount(cost)} {currency or ''}".rstrip()
