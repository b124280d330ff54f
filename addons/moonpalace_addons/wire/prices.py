"""Prices of models, and what a call costs at them."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

MILLION = 1_000_000
DIGITS = 12
"""Decimals to which a cost is rounded: sums of floats are inexact beyond them."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices per million tokens, in one currency.

    `cached` is the price of tokens read from a cache, `cache_write` of tokens written to one, `cache_write_1h` of
    tokens written for an hour. Without `cache_write_1h`, the price is `cache_write`; without another, `input`.
    """

    input: float
    output: float
    cached: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class PriceRule:
    """Prices that a user sets for models.

    `model` is a name in which `*` and `?` are wildcards; case is ignored. If `endpoint` is given (a name, a host or a
    URL), the rule applies to this endpoint only.
    """

    model: str
    rates: Rates
    endpoint: str | None = None

    def holds(self, model: str, endpoint: str, endpoint_name: str | None) -> bool:
        """Return whether the rule applies to a model at an endpoint."""
        if self.endpoint is not None and self.endpoint not in (endpoint_name, endpoint, urlsplit(endpoint).netloc):
            return False
        return fnmatchcase(model.lower(), self.model.lower())


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a call: the whole prompt; of it, cached, written to a cache, and for an hour; and the output."""

    prompt: int
    output: int = 0
    cached: int = 0
    written: int = 0
    written_1h: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a call: uncached prompt, cached tokens and output, and the prices per million tokens."""

    input: float
    cached: float
    output: float
    price_input: float
    price_cached: float
    currency: str

    @property
    def total(self) -> float:
        """Return the total cost."""
        return round(self.input + self.cached + self.output, DIGITS)


def cost_of(tokens: Tokens, rates: Rates) -> Cost:
    """Return the cost of a call."""
    cached = min(tokens.cached, tokens.prompt)
    written = min(tokens.written, tokens.prompt - cached)
    long = min(tokens.written_1h, written)
    price_cached = rates.input if rates.cached is None else rates.cached
    price_write = rates.input if rates.cache_write is None else rates.cache_write
    price_long = price_write if rates.cache_write_1h is None else rates.cache_write_1h
    prompt = (tokens.prompt - cached - written) * rates.input + (written - long) * price_write + long * price_long
    return Cost(
        input=round(prompt / MILLION, DIGITS),
        cached=round(cached * price_cached / MILLION, DIGITS),
        output=round(tokens.output * rates.output / MILLION, DIGITS),
        price_input=rates.input,
        price_cached=price_cached,
        currency=rates.currency,
    )
