"""One stored call, with the data for its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from moonpalace_addons.errors import NotFoundError
from moonpalace_addons.store.query.condition import condition
from moonpalace_addons.store.read import selection
from moonpalace_addons.store.read.outcomes import Outcome, outcome
from moonpalace_addons.store.read.paging import Place, some
from moonpalace_addons.views.timeline import Moment, moments
from moonpalace_cli.flags.numbers import MAX_INTEGER
from moonpalace_cli.views.showing.facts import Facts, read_facts
from moonpalace_cli.views.showing.reason import Reason
from moonpalace_cli.views.showing.reasons import reasons
from moonpalace_cli.views.turns import Turns, turns
from moonpalace_cli.web.facts import Fact, facts
from moonpalace_cli.web.picture import Picture, picture

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.exchanges import Exchange


@dataclass(frozen=True)
class ShownCall:
    """A call; `newer` and `older` are the ids of its neighbours among the calls that match the filter."""

    engine: Engine
    known: Facts
    query: str
    newer: int | None
    older: int | None

    @property
    def call(self) -> Exchange:
        """The row of the call."""
        return self.known.call

    @property
    def outcome(self) -> Outcome:
        """The outcome of the call."""
        return outcome(self.call)

    @property
    def facts(self) -> list[Fact]:
        """The numbers of the call."""
        return list(facts(self.call))

    @cached_property
    def why(self) -> Sequence[Reason]:
        """The reasons of the outcome."""
        return list(reasons(self.known))

    @cached_property
    def turns(self) -> Turns:
        """The neighbours in the conversation."""
        return turns(self.engine, self.call)

    @cached_property
    def moments(self) -> list[Moment]:
        """The events of the stream."""
        stream = self.known.bodies.event_stream
        return moments(stream, self.known.chunks, self.call.path) if stream is not None and self.call.is_stream else []

    @cached_property
    def picture(self) -> Picture | None:
        """The picture of the stream."""
        return picture(self.call, self.moments) if self.moments else None


def read_row(engine: Engine, row_id: int) -> Exchange:
    """Return the row of a call; raise NotFoundError if there is none with this id."""
    row = next(selection.in_order(engine, [row_id]), None) if row_id <= MAX_INTEGER else None
    if row is None:
        raise NotFoundError(f"no stored call has id {row_id}")
    return row


def read_call(engine: Engine, row_id: int, query: str = "") -> ShownCall:
    """Return a call; raise NotFoundError if there is none with this id."""
    call = read_row(engine, row_id)
    return ShownCall(engine, read_facts(engine, call), query, *neighbours(engine, call, query))


def neighbours(engine: Engine, call: Exchange, query: str) -> tuple[int | None, int | None]:
    """Return the ids of the next newer and the next older call that match a filter."""
    where = condition([query], engine) if query.strip() else None
    place = Place.of(call)
    sides = (some(engine, 1, after=place, where=where), some(engine, 1, before=place, where=where))
    newer, older = (found[0].id if found else None for found in sides)
    return newer, older
