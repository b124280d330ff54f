"""Calculate what calls cost."""

import logging
from collections.abc import Sequence
from typing import cast

from moonpalace_addons.store.pricing import price_list
from moonpalace_addons.store.records.values import Values
from moonpalace_addons.wire.prices import Cost, PriceRule, Rates, Tokens, cost_of

logger = logging.getLogger(__name__)

NO_COST: Values = dict.fromkeys(
    ("cost", "cost_input", "cost_cached", "cost_output", "cost_currency", "price_input", "price_cached")
)
"""The values of the cost columns if the cost is unknown."""
READ = (
    *("endpoint", "endpoint_name", "started_at", "model_answered", "model_requested", "service_tier"),
    *("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
    "reported_cost",
)
"""The columns that a cost is calculated from."""


class Pricing:
    """Calculate costs: from the prices that a user has set, else as the API reports them, else from the list."""

    def __init__(self, rules: Sequence[PriceRule] = ()) -> None:
        self.rules = rules

    def prepare(self, row: Values) -> None:
        """Load the prices for a call that has just begun, so that they are available when its answer arrives."""
        price_list.prepare(str(row["endpoint"]))

    def columns(self, row: Values) -> Values:
        """Return the values of the cost columns, given those of `READ`; a bug of ours only loses the cost."""
        try:
            return self._columns(row)
        except Exception:
            logger.exception("store: the cost of a call could not be worked out because of a fault in MoonPalace")
            return NO_COST

    def _columns(self, row: Values) -> Values:
        tokens = tokens_of(row)
        if tokens is not None and (rates := self._set_by_user(row)) is not None:
            return columns_of(cost_of(tokens, rates))
        if row["reported_cost"] is not None:
            return NO_COST | {"cost": row["reported_cost"], "cost_currency": "USD"}
        if tokens is not None and (rates := listed(row, tokens.prompt)) is not None:
            return columns_of(cost_of(tokens, rates))
        return NO_COST

    def _set_by_user(self, row: Values) -> Rates | None:
        if not self.rules:
            return None
        place = str(row["endpoint"]), cast("str | None", row["endpoint_name"])
        pairs = ((model, rule) for model in models_of(row) for rule in self.rules)
        return next((rule.rates for model, rule in pairs if rule.holds(model, *place)), None)


def listed(row: Values, prompt_tokens: int) -> Rates | None:
    """Return the prices of a call from the list; None if they are unknown."""
    if not price_list.may_know(str(row["endpoint"])):
        return None
    tier, started_at = cast("str | None", row["service_tier"]), cast(int, row["started_at"])
    rates = (price_list.rates(str(row["endpoint"]), model, tier, started_at, prompt_tokens) for model in models_of(row))
    return next((each for each in rates if each is not None), None)


def models_of(row: Values) -> list[str]:
    """Return the model that answered and the model that was requested."""
    named = (row["model_answered"], row["model_requested"])
    return list(dict.fromkeys(str(name) for name in named if name))


def tokens_of(row: Values) -> Tokens | None:
    """Return the tokens of a call; None if the number of prompt tokens is unknown."""
    if row["prompt_tokens"] is None:
        return None
    names = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens")
    return Tokens(*(cast(int, row[name] or 0) for name in names))


def columns_of(cost: Cost) -> Values:
    """Return a cost as values of columns."""
    return {
        "cost": cost.total,
        "cost_input": cost.input,
        "cost_cached": cost.cached,
        "cost_output": cost.output,
        "cost_currency": cost.currency,
        "price_input": cost.price_input,
        "price_cached": cost.price_cached,
    }
