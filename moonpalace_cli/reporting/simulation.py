"""Simulate the delay and the limit of a rule on stored calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from moonpalace_addons.store.records.deliveries import DAY, SECOND
from moonpalace_cli.reporting.gathering import Seen, shares

if TYPE_CHECKING:
    from moonpalace_addons.settings.reports import ReportRule


@dataclass(slots=True)
class Gathering:
    """Similar calls whose report is due at a time, in microseconds since the epoch."""

    due: int
    found: list[Seen] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """Return their number."""
        return len(self.found)


@dataclass(frozen=True, slots=True)
class Planned:
    """A report that would have been sent at a time, or None if it would still be waiting: its calls by kind."""

    at: int | None
    shared: Sequence[Gathering]

    @property
    def calls(self) -> int:
        """Return how many calls it covers."""
        return sum(each.calls for each in self.shared)

    @property
    def newest(self) -> Seen:
        """Return the call that it shows: the newest of its most frequent kind."""
        return self.shared[0].found[-1]


def planned(rule: ReportRule, calls: Sequence[Seen], now: int) -> list[Planned]:
    """Return the reports of these calls up to now, and those that would still be waiting."""
    sent, waiting = list[Planned](), dict[str, Gathering]()
    for call in sorted(calls, key=lambda each: each.at):
        send_due(rule, waiting, sent, call.at)
        waiting.setdefault(call.likeness, Gathering(call.at + rule.delay * SECOND)).found.append(call)
    send_due(rule, waiting, sent, now)
    return [*sent, *(Planned(None, [each]) for each in waiting.values())]


def send_due(rule: ReportRule, waiting: dict[str, Gathering], sent: list[Planned], now: int) -> None:
    """Move the reports that are sent by a time from `waiting` to `sent`."""
    while waiting:
        at = min(each.due for each in waiting.values())
        if len(sent) >= rule.limit:
            at = max(at, (sent[-rule.limit].at or 0) + DAY)
        if at > now:
            return
        ready = {kind: each for kind, each in waiting.items() if each.due <= at}
        room = rule.limit - sum((each.at or 0) > at - DAY for each in sent)
        sent += [Planned(at, share) for share in shares(list(ready.values()), room)]
        for kind in ready:
            del waiting[kind]
