"""The comparison of two calls: fields, parameters, messages and answers; the earlier call comes first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from moonpalace_addons.views.parameters import SAID, value_text
from moonpalace_addons.wire.faces.turns import Part, Turn
from moonpalace_addons.wire.placeholders import as_json
from moonpalace_cli.views.comparing import texts
from moonpalace_cli.views.comparing.sequences import Budget, Pair, pairs
from moonpalace_cli.views.context_caches import prefix_report
from moonpalace_cli.views.context_caches.prompts import read_request
from moonpalace_cli.views.listing.columns import BY_NAME, Column
from moonpalace_cli.views.listing.listed import Listed

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_cli.views.context_caches.prefix_report import Finding
    from moonpalace_cli.views.showing.facts import Facts

STEPS = 400_000
"""Maximum steps for the differences of two calls: half a second."""
OWN = ("id", "uuid", "requested_at", "chatcmpl", "request_id", "client_request_id")
"""Fields that differ between any two calls."""
COMPARED = tuple(
    column
    for name, column in BY_NAME.items()
    if name == column.field.name and column.field.is_sortable and name not in OWN
)
TOOLS = "tools"
"""The conversation has the names of the tools; other changes of tools are shown as a parameter."""

type Texts = list[texts.Run]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field or a parameter that differs; empty for an unknown value."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Comparison:
    """Two calls and their differences; each part is computed on first access."""

    earlier: Facts
    later: Facts
    budget: Budget = field(default_factory=lambda: Budget(STEPS))

    @property
    def calls(self) -> tuple[Exchange, Exchange]:
        """The rows of the calls."""
        return self.earlier.call, self.later.call

    @property
    def listed(self) -> tuple[Listed, Listed]:
        """The calls in the form that columns read."""
        earlier, later = (Listed(facts.call, tuple(facts.tags)) for facts in (self.earlier, self.later))
        return earlier, later

    @cached_property
    def columns(self) -> list[Column]:
        """The fields that differ."""
        before, after = self.listed
        return [each for each in COMPARED if each.cell(before) != each.cell(after)]

    @property
    def fields(self) -> list[Difference]:
        """The fields that differ, with their values as in `mpal list`."""
        before, after = self.listed
        return [Difference(each.name, each.cell(before), each.cell(after)) for each in self.columns]

    @cached_property
    def parameters(self) -> list[Difference]:
        """The parameters of the requests that differ, including the tools."""
        return [*differences(self.earlier.request, self.later.request)]

    @cached_property
    def request_pairs(self) -> list[Pair[Turn]]:
        """The messages of the requests, side by side."""
        return [
            *pairs(self.earlier.conversation.request_turns, self.later.conversation.request_turns, role, self.budget)
        ]

    @cached_property
    def answer_pairs(self) -> list[Pair[Turn]]:
        """The answers, side by side."""
        return [*pairs(self.earlier.conversation.answer_turns, self.later.conversation.answer_turns, role, self.budget)]

    @cached_property
    def prompts(self) -> Finding | None:
        """Where the prompts diverge for a cache; None if the prompts of one call cannot be read."""
        before, after = (
            read_request(facts.bodies.request or b"", facts.call.path) for facts in (self.earlier, self.later)
        )
        return None if before is None or after is None else prefix_report.find(*self.calls, before, after)

    def parts(self, pair: Pair[Turn]) -> Iterator[tuple[Pair[Part], Texts]]:
        """Yield the parts of two messages side by side, with the changes within their texts."""
        before, after = (turn.parts if turn else () for turn in (pair.before, pair.after))
        for each in pairs(before, after, kind, self.budget):
            ours, theirs = (part.text if part else "" for part in (each.before, each.after))
            yield each, texts.changes(ours, theirs, self.budget)


def compare(one: Facts, other: Facts) -> Comparison:
    """Compare two calls, in the order of time."""
    earlier, later = sorted((one, other), key=lambda facts: (facts.call.started_at, facts.call.id))
    return Comparison(earlier, later)


def role(turn: Turn) -> object:
    """Return the property that messages share if one may have replaced the other."""
    return turn.role


def kind(part: Part) -> object:
    """Return the property that parts of messages share if one may have replaced the other."""
    return part.kind


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[Difference]:
    """Yield the parameters in which two requests differ."""
    for name in {**before, **after}:
        if name in SAID and name != TOOLS:
            continue
        values = [
            (as_json(each[name]), value_text(each[name])) if name in each else ("", "") for each in (before, after)
        ]
        if values[0][0] != values[1][0]:
            yield Difference(str(name), values[0][1], values[1][1])
