"""Pass every text of a call to a visitor, and apply the replacements that it returns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, unquote_plus

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


def rewrite(call: Call, visitor: Visitor) -> Call:
    """Return the call with all the visitor's replacements."""
    tags = tuple(rewrite_text(tag, Place("tag"), visitor) for tag in call.tags)
    exchange = rewrite_exchange(call.exchange, visitor)
    return replace(call, exchange=exchange, bodies=rewrite_bodies(call, visitor), tags=tags)


def rewrite_exchange(exchange: Exchange, visitor: Visitor) -> Exchange:
    """Return the row of a call with the replacements; IDs of calls and completions stay, since reports need them."""
    answered = exchange.response_headers
    return exchange._replace(
        endpoint=rewrite_text(exchange.endpoint, Place("endpoint"), visitor),
        path=rewrite_text(exchange.path, Place("request path"), visitor),
        query=rewrite_query(exchange.query, visitor),
        request_headers=rewrite_headers(exchange.request_headers, "request header", visitor),
        response_headers=answered and rewrite_headers(answered, "response header", visitor),
        msh_uid=rewrite_optional(exchange.msh_uid, Place("response header", ("Msh-Uid",)), visitor),
        msh_gid=rewrite_optional(exchange.msh_gid, Place("response header", ("Msh-Gid",)), visitor),
        endpoint_name=rewrite_optional(exchange.endpoint_name, Place("endpoint name"), visitor),
        session=rewrite_optional(exchange.session, Place("session", ("prompt_cache_key",)), visitor),
        client_request_id=rewrite_optional(exchange.client_request_id, Place("request header"), visitor),
        error_message=rewrite_optional(exchange.error_message, Place("error"), visitor),
        warnings=tuple(rewrite_text(warning, Place("warning"), visitor) for warning in exchange.warnings),
        note=rewrite_optional(exchange.note, Place("note"), visitor),
    )


def rewrite_text(text: str, place: Place, visitor: Visitor) -> str:
    """Return a text with the replacements made."""
    return apply(text, visitor.text(place, text)) if text else text


def rewrite_optional(text: str | None, place: Place, visitor: Visitor) -> str | None:
    """Return a text with the replacements made, None for None."""
    return None if text is None else rewrite_text(text, place, visitor)


def rewrite_headers(headers: str, part: str, visitor: Visitor) -> str:
    """Return stored headers with the replacements in their values."""
    lines = []
    for line in header_lines(headers):
        name, separator, value = line.partition(":")
        stripped = value.strip()
        new = rewrite_text(stripped, Place(part, (name,)), visitor)
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
