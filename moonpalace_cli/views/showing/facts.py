"""The facts about one call, for views that describe it: its row, its bodies, and the calls around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from moonpalace_addons.views.completions import request_and_answer
from moonpalace_addons.views.conversation import Conversation, conversation
from moonpalace_addons.wire.json_value import mapping

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.deliveries import Delivery
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_addons.store.records.explanations import Explanation
    from moonpalace_cli.views.context_caches.causes import Cause

LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
"""The members of requests that limit the tokens of the answer."""


@dataclass(frozen=True, slots=True)
class Continued:
    """The call that a call continues, and why no more of its prompt was cached.

    `parts_at` is the number of the message at which the prompts diverge, if they do.
    """

    row_id: int
    parts_at: int | None
    cause: Cause
    is_only_alike: bool = False
    """Whether the prompts are nearly the same without sharing a message."""


@dataclass(frozen=True)
class Facts:
    """One stored call; data from the store is read on first access."""

    call: Exchange
    bodies: Bodies
    tags: Sequence[str] = ()
    explanations: Sequence[Explanation] = ()
    """Explanations by models, oldest first."""
    reports: Sequence[Delivery] = ()
    """Reports that show the call, oldest first."""
    chunks: Sequence[tuple[int, int]] = ()
    """Offset after each chunk of a stream, and nanoseconds since the request began."""
    earlier: Callable[[], Continued | None] = lambda: None
    works_at: Callable[[], str | None] = lambda: None
    """Another endpoint that accepted the same key."""
    minute_before: Callable[[], int] = lambda: 0
    """Number of calls with the same key that began in the minute before."""

    @cached_property
    def _parsed(self) -> tuple[object, object]:
        return request_and_answer(self.bodies, self.call.path)

    @property
    def is_json(self) -> bool:
        """Return whether the body of the request is JSON."""
        return self._parsed[0] is not None

    @property
    def request(self) -> Mapping[str, object]:
        """The request's JSON object; empty for any other body."""
        return mapping(self._parsed[0])

    @cached_property
    def conversation(self) -> Conversation:
        """The conversation: question and answer."""
        return conversation(self.call.path, *self._parsed)

    @property
    def limit(self) -> int | None:
        """The limit of the request for the tokens of the answer."""
        limits = (self.request.get(name) for name in LIMITS)
        return next((number for number in limits if isinstance(number, int) and not isinstance(number, bool)), None)

    @property
    def has_answer(self) -> bool:
        """Return whether any part of the answer is stored."""
        return bool(self.bodies.response or self.bodies.event_stream)

    @property
    def stall(self) -> tuple[int, int] | None:
        """The longest silence of a stream and when it began, in nanoseconds; the one before the end counts."""
        moments = [at for _, at in self.chunks]
        if self.call.latency is not None and self.call.has_timed_end:
            moments.append(self.call.latency)
        gaps = [(after - before, before) for before, after in pairwise(moments)]
        return max(gaps, default=None)

    @property
    def silence(self) -> int | None:
        """The nanoseconds between the last chunk of a stream and the end of the call."""
        if not self.chunks or self.call.latency is None or not self.call.has_timed_end:
            return None
        return max(0, self.call.latency - self.chunks[-1][1])


def read_facts(engine: Engine, call: Exchange) -> Facts:
    """Return the facts about a call."""
    from moonpalace_addons.store.read import neighbours
    from moonpalace_addons.store.records import contents, deliveries, explanations, labels

    with engine.connect() as connection:
        reports = deliveries.of_call(connection, call.id)
    return Facts(
        call,
        contents.bodies(engine, call.id),
        labels.tags_of(engine, [call.id]).get(call.id, ()),
        explanations.of_call(engine, call.id),
        reports,
        contents.event_times(engine, call.id),
        lambda: continued(engine, call),
        lambda: neighbours.accepted_elsewhere(engine, call),
        lambda: neighbours.calls_in_minute_before(engine, call),
    )


MAX_EARLIER_CALLS = 10
"""Maximum earlier calls compared to find the one that a call continues."""


def continued(engine: Engine, call: Exchange) -> Continued | None:
    """Return the call that a call continues; None if it continues none of the preceding ones."""
    from moonpalace_cli.views.context_caches.misses import Prompts

    finding = Prompts(engine).found(call, limit=MAX_EARLIER_CALLS)
    if finding is None:
        return None
    comparison = finding.comparison
    place = None if comparison.is_prefix else comparison.same_messages + 1
    return Continued(finding.earlier.id, place, finding.cause, not comparison.shared_messages)
