"""Make the record of calls that is sent to a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.state import State
from moonpalace_addons.store.write.storable import escaped
from moonpalace_cli.calls.reading import Call
from moonpalace_cli.explaining.digest import call_digest
from moonpalace_cli.explaining.group_digest import Member, group_digest
from moonpalace_cli.redaction.masked import masked_text
from moonpalace_cli.redaction.patterns import redactor
from moonpalace_cli.views.showing.facts import Facts, read_facts
from moonpalace_cli.views.showing.reasons import reasons

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_cli.redaction.redactor import Redactor

MAX_CALLS = 60
"""Maximum calls of a group that are read; the newest."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The calls to explain: `ids` are the newest of `total` calls; `question` is the user's, if any."""

    ids: Sequence[int]
    total: int
    question: str | None
    language: str

    @property
    def key(self) -> tuple[Sequence[int], str | None, str]:
        """Return the identity of an explanation of this subject."""
        return self.ids, self.question, self.language


def cleaned(question: str | None) -> str | None:
    """Return the question with secrets masked; None for an empty one."""
    return masked_text(escaped(question.strip())) if question and question.strip() else None


def make_record(engine: Engine, subject: Subject, *, limit: int, pattern: str | None) -> str:
    """Return the record of the calls in about `limit` tokens; matches of `pattern` are redacted, too."""
    from moonpalace_addons.store.read import selection

    cleaner = redactor(engine, pattern)
    facts = (redacted_facts(engine, call, cleaner) for call in selection.in_order(engine, subject.ids))
    members = [Member(each, list(reasons(each))) for each in facts]
    if subject.total == len(members) == 1:
        if members[0].facts.call.state is State.IN_FLIGHT:
            raise MoonPalaceError(f"call {subject.ids[0]} is still under way: explain it when it has ended")
        return masked_text(call_digest(members[0].facts, members[0].found, limit))
    return masked_text(group_digest(members, subject.total, limit))


def redacted_facts(engine: Engine, call: Exchange, redactor: Redactor) -> Facts:
    """Return the facts of a call, redacted like an export."""
    facts = read_facts(engine, call)
    clean = redactor.redact(Call(call, without_events(facts.bodies)))
    return replace(facts, call=clean.exchange, bodies=clean.bodies)


def without_events(bodies: Bodies) -> Bodies:
    """Return the bodies without the events of a merged stream: parsing them takes seconds for 10 MB."""
    is_merged = bodies.response is not None and bodies.response != bodies.event_stream
    return replace(bodies, event_stream=None) if is_merged else bodies
