"""What is known of a call, without what must not leave the machine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from moonpalace_cli.calls.reading import Call
from moonpalace_cli.views.showing.facts import Facts, read_facts

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_cli.redaction.redactor import Redactor


def redacted_facts(engine: Engine, call: Exchange, redactor: Redactor) -> Facts:
    """Return the facts of a call, redacted as exports are."""
    facts = read_facts(engine, call)
    clean = redactor.redact(Call(call, without_events(facts.bodies)))
    return replace(facts, call=clean.exchange, bodies=clean.bodies)


def without_events(bodies: Bodies) -> Bodies:
    """Return the bodies without the events of a stream that is merged: reading them takes seconds for 10 MB."""
    is_merged = bodies.response is not None and bodies.response != bodies.event_stream
    return replace(bodies, event_stream=None) if is_merged else bodies
