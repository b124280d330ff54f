"""Pass every text of a call to a visitor, and apply the replacements that it returns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, unquote_plus

from moonpalace_addons.store.field import Field
from moonpalace_addons.store.fields import FIELDS, STORED
from moonpalace_addons.store.read.header_text import header_lines
from moonpalace_addons.wire.json_text import JSON_ESCAPES
from moonpalace_cli.calls.content import holds_events
from moonpalace_cli.redaction.event_strings import rewrite_events
from moonpalace_cli.redaction.json_strings import replacements
from moonpalace_cli.redaction.replacing import Place, Visitor, apply

if TYPE_CHECKING:
    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_cli.calls.reading import Call

TEXTS = ("text", "set", "headers")
"""The kinds of fields that hold texts."""


def place_of(field: Field) -> Place:
    """Return the place of a field's text."""
    part, _, name = (field.place or field.name.replace("_", " ")).partition(", ")
    return Place(part, (name,) if name else ())


PLACES = {field.source: place_of(field) for field in STORED if field.kind in TEXTS and not field.public}
"""The columns that may name a person, an account or a machine."""


def rewrite(call: Call, visitor: Visitor) -> Call:
    """Return the call with all the visitor's replacements."""
    tags = tuple(rewrite_text(tag, Place("tag"), visitor) for tag in call.tags)
    exchange = rewrite_exchange(call.exchange, visitor)
    return replace(call, exchange=exchange, bodies=rewrite_bodies(call, visitor), tags=tags)


def rewrite_exchange(exchange: Exchange, visitor: Visitor) -> Exchange:
    """Return the row of a call with the replacements; public texts stay, such as the IDs that reports need."""
    found = {name: rewrite_field(name, getattr(exchange, name), visitor) for name in PLACES}
    return exchange._replace(**found)


def rewrite_field(name: str, value: Any, visitor: Visitor) -> Any:
    """Return what a column holds, a text, texts or None, with the replacements."""
    place = PLACES[name]
    if not value:
        return value
    if isinstance(value, tuple):
        return tuple(rewrite_text(text, place, visitor) for text in value)
    if name == "query":
        return rewrite_query(value, visitor)
    rewrite_value = rewrite_headers if FIELDS[name].kind == "headers" else rewrite_text
    return rewrite_value(value, place, visitor)


def rewrite_text(text: str, place: Place, visitor: Visitor) -> str:
    """Return a text with the replacements made."""
    return apply(text, visitor.text(place, text)) if text else text


def rewrite_headers(headers: str, place: Place, visitor: Visitor) -> str:
    """Return stored headers with the replacements in their values."""
    lines = []
    for line in header_lines(headers):
        name, separator, value = line.partition(":")
        stripped = value.strip()
        new = rewrite_text(stripped, place.at(name), visitor)
        lines.append(f"{name}{separator}{value}" if new == stripped else f"{name}{separator} {new}")
    return "".join(f"{line}\r\n" for line in lines)


def rewrite_query(query: str, visitor: Visitor) -> str:
    """Return a query string with the replacements in what its parameters mean."""
    return "&".join(rewrite_parameter(parameter, visitor) for parameter in query.split("&"))


def rewrite_parameter(parameter: str, visitor: Visitor) -> str:
    """Return one `name=value` of a query string; without a replacement it keeps its spelling."""
    name, separator, value = parameter.partition("=")
    meant = unquote_plus(value if separator else name)
    place = Place("request query", (unquote_plus(name),)) if separator else Place("request query")
    new = rewrite_text(meant, place, visitor)
    if new == meant:
        return parameter
    return f"{name}={quote_plus(new)}" if separator else quote_plus(new)


def rewrite_bodies(call: Call, visitor: Visitor) -> Bodies:
    """Return the bodies with the replacements; a stream is processed event by event."""
    bodies = call.bodies
    request = bodies.request
    if request is not None:
        request = rewrite_body(request, Place("request body"), visitor)
    is_stream = holds_events(call.exchange, bodies)
    events = bodies.event_stream
    if events is not None:
        place = Place("response events" if is_stream else "response body")
        events = rewrite_events(events, place, visitor) if is_stream else rewrite_body(events, place, visitor)
    response = bodies.response
    if response is not None:
        if response == bodies.event_stream and events is not None:
            response = events  # a stream without a merged completion
        else:
            response = rewrite_body(response, Place("response body"), visitor)
    return replace(bodies, request=request, response=response, event_stream=events)


def rewrite_body(data: bytes, place: Place, visitor: Visitor) -> bytes:
    """Return a body with the replacements made."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return visitor.binary(place, data)
    found = replacements(text, place, visitor)
    return apply(text, found).encode("utf-8", JSON_ESCAPES) if found else data
