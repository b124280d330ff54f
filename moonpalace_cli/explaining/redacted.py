"""What is known of a call, without what must not leave the machine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from moonpalace_addons.store.read.header_text import header_pairs
from moonpalace_addons.store.write import gate
from moonpalace_addons.wire.secrets import masking
from moonpalace_cli.calls.reading import Call
from moonpalace_cli.views.showing.facts import Facts, read_facts

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_cli.redaction.redactor import Redactor


def redacted_facts(engine: Engine, call: Exchange, redactor: Redactor) -> Facts:
    """Return the facts of a call, redacted as exports are; secrets are masked once more, by the rules of today."""
    facts = read_facts(engine, call)
    bodies, hidden = masked_bodies(without_events(facts.bodies), credentials_of(call))
    clean = redactor.redact(Call(masked_row(call, hidden), bodies))
    return replace(facts, call=clean.exchange, bodies=clean.bodies)


def without_events(bodies: Bodies) -> Bodies:
    """Return the bodies without the events of a stream that is merged: reading them takes seconds for 10 MB."""
    is_merged = bodies.response is not None and bodies.response != bodies.event_stream
    return replace(bodies, event_stream=None) if is_merged else bodies


def credentials_of(call: Exchange) -> tuple[bytes, ...]:
    """Return the secrets that the headers and the address of a call name."""
    headers = [*header_pairs(call.request_headers), *header_pairs(call.response_headers or "")]
    return masking.credentials(headers, call.path, call.query)


def masked_row(call: Exchange, hidden: tuple[bytes, ...]) -> Exchange:
    """Return the row of a call with secrets masked in what the digest shows of it."""
    return replace(
        call,
        path=masking.mask_path(call.path),
        query=masking.mask_query(call.query),
        error_message=call.error_message and masked_text(call.error_message, hidden),
        error_kind=call.error_kind and masked_text(call.error_kind, hidden),
        warnings=tuple(masked_text(warning, hidden) for warning in call.warnings),
    )


def masked_bodies(bodies: Bodies, hidden: tuple[bytes, ...]) -> tuple[Bodies, tuple[bytes, ...]]:
    """Return the bodies with secrets masked, and `hidden` with those of the request, which an answer may repeat."""
    request, response, stream = bodies.request, bodies.response, bodies.event_stream
    if request is not None:
        request, _, hidden = gate.masked_request(request, hidden)
    clean = replace(
        bodies,
        request=request,
        response=None if response is None else gate.masked_body(response, hidden)[0],
        event_stream=None if stream is None else gate.masked_part(stream, hidden, in_events=True),
    )
    return clean, hidden


def masked_text(text: str, hidden: tuple[bytes, ...] = ()) -> str:
    """Return a text with secrets masked."""
    return gate.masked_body(text.encode("utf-8", "surrogatepass"), hidden)[0].decode("utf-8", "surrogatepass")
