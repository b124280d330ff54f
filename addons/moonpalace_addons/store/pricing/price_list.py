"""Look up prices by endpoint, model and time in the package genai-prices, whose data come with it.

Importing the package takes half a second of CPU and 35 MB; pricing a call with it, a quarter of a millisecond. So only
the writer's process imports it, once it is ready and if an endpoint may be in the list, and `mpal cost`, when it needs
it; and prices are kept for a quarter of an hour of the calls' time: some models cost less at night.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from moonpalace_addons.wire.prices import Rates

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.types import ModelPrice, TieredPrices

PACKAGE = "genai_prices"
QUARTER_HOUR = 900_000_000
"""Microseconds."""

MEMBERS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")
"""The package's names for the prices of `Rates`, in the same order."""
REQUESTS = "requests_kcount"

_imported = threading.Event()


@dataclass(frozen=True, slots=True)
class Steps:
    """A price, and the prices of calls with a longer prompt: (tokens that it exceeds, price), ascending."""

    base: float
    above: tuple[tuple[int, float], ...] = ()

    def at(self, prompt_tokens: int) -> float:
        """Return the price for a prompt of this length."""
        return next((price for start, price in reversed(self.above) if prompt_tokens > start), self.base)


def may_know(endpoint: str) -> bool:
    """Return whether the package may have prices for an endpoint; it only knows public hosts."""
    return endpoint.startswith("https://")


def prepare(endpoint: str) -> None:
    """Import the package in the background, so that it is there once the call has an answer."""
    if not _imported.is_set() and may_know(endpoint):
        _imported.set()
        threading.Thread(target=import_module, args=(PACKAGE,), name="moonpalace-prices", daemon=True).start()


def rates(endpoint: str, model: str, tier: str | None, started_at: int, prompt_tokens: int) -> Rates | None:
    """Return the prices of a model in US dollars; None if they are unknown.

    `started_at` is in microseconds since the epoch. Some models cost more for calls with a long prompt.
    """
    if not may_know(endpoint):
        return None
    prices = known_prices(endpoint, model, tier, started_at // QUARTER_HOUR)
    if prices is None:
        return None
    input_price, output, cached, written, written_1h = (
        None if price is None else price.at(prompt_tokens) for price in prices
    )
    return None if input_price is None else Rates(input_price, output or 0.0, cached, written, written_1h)


@lru_cache(4096)
def known_prices(endpoint: str, model: str, tier: str | None, quarter: int) -> tuple[Steps | None, ...] | None:
    """Return the prices named in `MEMBERS`; None if the model is unknown, or if it also has a price per call."""
    from genai_prices import Usage, calc_price

    moment = datetime.fromtimestamp(quarter * QUARTER_HOUR / 1e6, UTC)
    context = {"service_tier": tier} if tier else None
    try:
        calculated = calc_price(
            Usage(), model, provider_api_url=endpoint, genai_request_timestamp=moment, price_context=context
        )
    except LookupError:
        return None
    prices = calculated.model_price
    return None if getattr(prices, REQUESTS) is not None else tuple(steps(prices, name) for name in MEMBERS)


def steps(prices: ModelPrice, name: str) -> Steps | None:
    """Return one of a model's prices; None if it has none."""
    from genai_prices.types import TieredPrices

    price: Decimal | TieredPrices | None = getattr(prices, name)
    if price is None:
        return None
    if isinstance(price, TieredPrices):
        return Steps(float(price.base), tuple((tier.start, float(tier.price)) for tier in price.tiers))
    return Steps(float(price))
