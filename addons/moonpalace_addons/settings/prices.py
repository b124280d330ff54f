"""Read the prices that a user sets in config.yaml."""

import re

from moonpalace_addons.settings.entries import Entry
from moonpalace_addons.wire.prices import PriceRule, Rates

MEMBERS = ("input", "output", "cached", "cache-write", "cache-write-1h", "currency", "endpoint")
AMOUNTS = ("input", "output", "cached", "cache-write", "cache-write-1h")
ALLOWED = "models with their prices, such as kimi-k3: {input: 3, cached: 0.3, output: 15}"
PRICES = "the prices of a million tokens: input, output, cached, cache-write, cache-write-1h; and currency, endpoint"
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_CURRENCY = re.compile(r"[A-Z]{3}")


def read_prices(entry: Entry, endpoint: str | None = None) -> tuple[PriceRule, ...]:
    """Return the rules in a mapping of model patterns to prices, of one endpoint if it is given; raise SettingError."""
    return tuple(rule(model, prices, endpoint) for model, prices in entry.mapping(ALLOWED).items())


def rule(model: str, entry: Entry, endpoint: str | None) -> PriceRule:
    """Return the rule for one pattern."""
    members = entry.mapping(PRICES, MEMBERS if endpoint is None else MEMBERS[:-1])
    for needed in ("input", "output"):
        if needed not in members:
            entry.fail(f"must have {needed}: the price of a million tokens")
    amounts = {name.replace("-", "_"): amount(members[name]) for name in AMOUNTS if name in members}
    if "endpoint" in members:
        endpoint = members["endpoint"].scalar("the name, the host or the URL of an endpoint")
    return PriceRule(model, Rates(**amounts, currency=currency(members.get("currency"))), endpoint)


def amount(entry: Entry) -> float:
    """Return a price."""
    allowed = "a number: the price of a million tokens"
    if not _NUMBER.fullmatch(entry.scalar(allowed)):
        entry.fail(f"must be {allowed}")
    return float(entry.scalar(allowed))


def currency(entry: Entry | None) -> str:
    """Return a currency's code."""
    if entry is None:
        return "USD"
    allowed = "the three letters of a currency, such as USD or CNY"
    if not _CURRENCY.fullmatch(entry.scalar(allowed).upper()):
        entry.fail(f"must be {allowed}")
    return entry.scalar(allowed).upper()
