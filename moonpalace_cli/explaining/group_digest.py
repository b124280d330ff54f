"""The digest of several calls: what they have in common, one line for each, and details of the newest of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from moonpalace_addons.store.fields import Exchange, model
from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_addons.views.call_line import call_line, line_text
from moonpalace_cli.explaining.digest import call_digest
from moonpalace_cli.explaining.quoting import excerpt, tokens_in
from moonpalace_cli.views.showing.facts import Facts
from moonpalace_cli.views.showing.reason import Reason

MAX_SAMPLES = 3
MIN_SAMPLE = 600
"""Tokens that the details of a call need."""
MAX_VALUES = 6
COUNTED: tuple[tuple[str, Callable[[Exchange], object]], ...] = (
    ("ended", lambda call: outcome(call).text),
    ("error message", lambda call: call.error_message),
    ("model", model),
    ("endpoint", lambda call: call.endpoint),
    ("path", lambda call: call.path),
    ("stream", lambda call: "yes" if call.is_stream else "no"),
    ("minute", lambda call: call.started_at.strftime("%Y-%m-%d %H:%M")),
)
"""The properties that are counted."""


@dataclass(frozen=True, slots=True)
class Member:
    """A call of a group, and the causes that the rules found."""

    facts: Facts
    found: Sequence[Reason]


def group_digest(members: Sequence[Member], total: int, limit: int) -> str:
    """Return the digest of `members`, the newest of `total` calls, in about `limit` tokens at most."""
    shown = "" if total == len(members) else f"; what follows is about the newest {len(members)}"
    lines = [f"{total} calls match{shown}", *counts([member.facts.call for member in members])]
    lines += within(map(member_line, members), limit // 2 - tokens_in("\n".join(lines)))
    room = limit - tokens_in("\n".join(lines))
    samples = list(newest_of_each_kind(members))[: max(1, room // MIN_SAMPLE)]
    for sample in samples:
        lines += ["", f"one of them in detail, {call_digest(sample.facts, sample.found, room // len(samples))}"]
    return "\n".join(lines)


def counts(calls: Sequence[Exchange]) -> Iterator[str]:
    """Yield a line for each property: how many calls have which value."""
    for name, value_of in COUNTED:
        found = Counter(str(value) for call in calls if (value := value_of(call)) not in (None, ""))
        if found:
            ranked = [f"{count} x {excerpt(text, 40)}" for text, count in found.most_common(MAX_VALUES)]
            more = [f"{len(found) - MAX_VALUES} other values"] if len(found) > MAX_VALUES else []
            yield f"{name}: {', '.join([*ranked, *more])}"


def member_line(member: Member) -> str:
    """Return a call in one line, with the first cause that the rules found."""
    line = excerpt(line_text(call_line(member.facts.call, day=True)), 60)
    return f"- {line}" + (f": {excerpt(str(member.found[0].evidence), 60)}" if member.found else "")


def within(lines: Iterator[str], limit: int) -> Iterator[str]:
    """Yield the lines that fit, and a last one that counts the others."""
    for line in lines:
        limit -= tokens_in(line) + 1
        if limit < 0:
            yield "(more calls left out)"
            return
        yield line


def newest_of_each_kind(members: Sequence[Member]) -> Iterator[Member]:
    """Yield the newest call of each of the most frequent outcomes."""
    kinds = Counter(outcome(member.facts.call).text for member in members)
    newest = {outcome(member.facts.call).text: member for member in members}
    return (newest[kind] for kind, _ in kinds.most_common(MAX_SAMPLES))
