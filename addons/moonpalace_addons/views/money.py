"""Format amounts of money for people."""

SIGNS = {"CNY": "¥", "EUR": "€", "USD": "$"}


def amount(value: float) -> str:
    """Format an amount of money with two decimals, and with more of them if it is small."""
    decimals = 2 if value >= 100 else 4 if value >= 0.01 else 6 if value >= 0.0001 else 9
    whole, _, digits = f"{value:,.{decimals}f}".partition(".")
    return f"{whole}.{digits.rstrip('0').ljust(2, '0')}"


def price(cost: float | None, currency: str | None) -> str:
    """Format a cost with the symbol of its currency; empty if it is unknown."""
    if cost is None:
        return ""
    sign = SIGNS.get(currency or "")
    return f"{sign}{amount(cost)}" if sign else f"{amount(cost)} {currency or ''}".rstrip()
