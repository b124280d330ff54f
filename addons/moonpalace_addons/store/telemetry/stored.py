"""Read data of a call that its row does not have: the parameters of its request, and its messages."""

from sqlalchemy import Engine

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.records import contents
from moonpalace_addons.store.telemetry import messages, parameters
from moonpalace_addons.store.telemetry.parameters import Parameters
from moonpalace_addons.store.telemetry.spans import Attributes, CallSpan, span_of
from moonpalace_addons.wire.json_value import mapping, parse_bounded


def stored_span(engine: Engine, call: Exchange, members: Parameters | None, *, content: bool) -> CallSpan | None:
    """Return the span of a stored call; `members` are those of its request, if they are known."""
    texts: Attributes = {}
    if content:
        bodies = contents.bodies(engine, call.id)
        request, answer = parse_bounded(bodies.request or b""), parse_bounded(bodies.response or b"")
        members, texts = parameters.of_fields(mapping(request)), messages.attributes_of(call, request, answer)
    elif members is None:
        members = parameters.of_fields(mapping(parse_bounded(contents.request_body(engine, call.id) or b"")))
    return span_of(call, members or {}, texts)
