"""The facts in the head of a call's page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from moonpalace_addons.store.fields import cost_saved
from moonpalace_addons.views.call_line import seconds
from moonpalace_addons.views.money import price
from moonpalace_cli.web.rows import cached_percent, cost_of

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange


class Fact(NamedTuple):
    """A name in English, a value, and a remark."""

    name: str
    value: str
    remark: str = ""
    template: str = ""
    """The English template of the remark, if it has one."""


def facts(call: Exchange) -> Iterator[Fact]:
    """Yield the known numbers of a call."""
    if call.prompt_tokens is not None or call.completion_tokens is not None:
        reasoning = f"{call.reasoning_tokens:,}" if call.reasoning_tokens else ""
        yield Fact("tokens", f"{number(call.prompt_tokens)} → {number(call.completion_tokens)}")
        if reasoning:
            yield Fact("of which reasoning", reasoning)
    percent = cached_percent(call)
    if percent is not None:
        yield Fact("cached", number(call.cached_tokens), f"{percent} %")
    if call.cost is not None:
        saved = cost_saved(call)
        yield Fact("cost", cost_of(call), price(saved, call.cost_currency) if saved else "", "saved {amount}")
    for name, duration in (("first token", call.time_to_first_token), ("total", call.latency)):
        if duration is not None:
            yield Fact(name, seconds(duration))
    if call.is_stream and call.output_tokens_per_second:
        yield Fact("speed", f"{call.output_tokens_per_second:,.1f}", "tokens/s")


def number(value: int | None) -> str:
    """Format a number of tokens; a question mark if it is unknown."""
    return "?" if value is None else f"{value:,}"
