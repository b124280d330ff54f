"""A call as a row of the list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from moonpalace_addons.store.fields import model
from moonpalace_addons.store.read.outcomes import Outcome, outcome
from moonpalace_addons.store.records import contents, labels
from moonpalace_addons.store.state import State
from moonpalace_addons.views.call_line import seconds
from moonpalace_addons.views.completions import parsed
from moonpalace_addons.views.money import price
from moonpalace_addons.wire.chat.last_words import last_words

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.exchanges import Exchange

MAX_WORDS = 160
"""Maximum characters of the user's last words in a row."""


@dataclass(frozen=True, slots=True)
class Row:
    """The texts of a call's row; empty if unknown."""

    call: Exchange
    outcome: Outcome
    when: str
    model: str
    tokens: tuple[str, str]
    cached: int | None
    """Percent of the prompt."""
    cost: str
    first_token: str
    total: str
    words: str
    tags: Sequence[str]

    @property
    def is_running(self) -> bool:
        """Return whether the call is in flight."""
        return self.call.state is State.IN_FLIGHT


def rows(engine: Engine, calls: Sequence[Exchange]) -> Iterator[Row]:
    """Yield a row for each call."""
    tags = labels.tags_of(engine, [call.id for call in calls])
    today = datetime.now().astimezone().date()
    for call in calls:
        yield row(call, words_of(engine, call.id), tags.get(call.id, ()), today)


def row(call: Exchange, words: str, tags: Sequence[str], today: date) -> Row:
    """Return the row of a call."""
    return Row(
        call,
        outcome(call),
        when(call.started_at, today),
        model(call) or f"{call.method} {call.path}",
        (counted(call.prompt_tokens), counted(call.completion_tokens)),
        cached_percent(call),
        cost_of(call),
        "" if call.time_to_first_token is None else seconds(call.time_to_first_token),
        "" if call.latency is None else seconds(call.latency),
        words,
        tags,
    )


# Cached, because requests never change and reading them is most of the work for a page.
@lru_cache(maxsize=4096)
def words_of(engine: Engine, row_id: int) -> str:
    """Return the user's last words in a call's request."""
    return " ".join(last_words(parsed(contents.request_body(engine, row_id))).split())[:MAX_WORDS]


def when(moment: datetime, today: date) -> str:
    """Return the local time of a call, with its date unless it is today."""
    local = moment.astimezone()
    return local.strftime("%H:%M:%S" if local.date() == today else "%m-%d %H:%M:%S")


def counted(number: int | None) -> str:
    """Format a number of tokens."""
    return "" if number is None else f"{number:,}"


def cached_percent(call: Exchange) -> int | None:
    """Return the percentage of the prompt that was cached; None if it is unknown or implausible."""
    if not call.prompt_tokens or call.cached_tokens is None or call.cached_tokens > call.prompt_tokens:
        return None
    return round(100 * call.cached_tokens / call.prompt_tokens)


def cost_of(call: Exchange) -> str:
    """Return the cost of a call with the symbol of the currency."""
    return price(call.cost, call.cost_currency)
