"""Read the prices that a user sets in config.yaml."""

import re
from collections.abc import Collection

from moonpalace_addons.settings import kinds
from moonpalace_addons.settings.entries import Entry
from moonpalace_addons.wire.prices import PriceRule, Rates
from moonpalace_addons.wire.suggestions import did_you_mean

MEMBERS = ("input", "output", "cached", "cache-write", "cache-write-1h", "currency", "endpoint")
AMOUNTS = ("input", "output", "cached", "cache-write", "cache-write-1h")
ALLOWED = "models with their prices, such as kimi-k3: {input: 3, cached: 0.3, output: 15}"
PRICES = "the prices of a million tokens: input, output, cached, cache-write, cache-write-1h; and currency, endpoint"
PLACE = "the name of an endpoint under endpoints:, a host such as api.moonshot.cn, or a URL"
_HOST = re.compile(r"localhost|[^/@\s]*[.:][^/@\s]*")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_CURRENCY = re.compile(r"[A-Z]{3}")


def read_prices(entry: Entry, endpoint: str | None = None, named: Collection[str] = ()) -> tuple[PriceRule, ...]:
    """Return the rules in a mapping of model patterns to prices; raise SettingError.

    All are for one endpoint if it is given, else each for the one that it names, perhaps as one of `named`.
    """
    return tuple(rule(model, prices, endpoint, named) for model, prices in entry.mapping(ALLOWED).items())


def rule(model: str, entry: Entry, endpoint: str | None, named: Collection[str]) -> PriceRule:
    """Return the rule for one pattern."""
    members = entry.mapping(PRICES, MEMBERS if endpoint is None else MEMBERS[:-1])
    for needed in ("input", "output"):
        if needed not in members:
            entry.fail(f"must have {needed}: the price of a million tokens")
    amounts = {name.replace("-", "_"): amount(members[name]) for name in AMOUNTS if name in members}
    if "endpoint" in members:
        endpoint = endpoint_in(members["endpoint"], named)
    return PriceRule(model, Rates(**amounts, currency=currency(members.get("currency"))), endpoint)


def endpoint_in(entry: Entry, named: Collection[str]) -> str:
    """Return the name of an endpoint, its host or its URL, which have a dot, a colon or are localhost."""
    text = entry.scalar(PLACE)
    if text in named:
        return text
    if "://" not in text and not _HOST.fullmatch(text):
        hint = did_you_mean(text, named) or f"it must be {PLACE}"
        entry.fail(f"{text!r} is not an endpoint of this file; {hint}" if text.isprintable() else f"must be {PLACE}")
    try:
        url = kinds.ENDPOINT.parse(text if "://" in text else f"https://{text}")
    except kinds.HintError as why:
        entry.fail(str(why))
    except ValueError:
        entry.fail(f"must be {PLACE}")
    return url if "://" in text else url.partition("://")[2]


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
