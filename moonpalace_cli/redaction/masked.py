"""Mask the secrets of a stored call by today's rules.

What an earlier version stored, and what was imported, was masked by older rules.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from moonpalace_addons.store.read.header_text import header_pairs
from moonpalace_addons.store.write import gate
from moonpalace_addons.store.write.storable import storable
from moonpalace_addons.wire.secrets import masking
from moonpalace_cli.calls.reading import Call

if TYPE_CHECKING:
    from moonpalace_addons.store.records.contents import Bodies
    from moonpalace_addons.store.records.exchanges import Exchange


def masked(call: Call, hidden: tuple[bytes, ...]) -> Call:
    """Return a call with the secrets, including `hidden`, masked in its headers, its address, errors and bodies."""
    bodies = masked_bodies(call.bodies, hidden)
    return replace(call, exchange=masked_row(call.exchange, hidden), bodies=bodies)


def secrets_of(call: Call) -> tuple[bytes, ...]:
    """Return the secrets of the request, which the answer may repeat."""
    hidden = credentials_of(call.exchange)
    return hidden if call.bodies.request is None else gate.masked_request(call.bodies.request, hidden)[2]


def credentials_of(call: Exchange) -> tuple[bytes, ...]:
    """Return the secrets that the headers and the address of a call name."""
    headers = [*header_pairs(call.request_headers), *header_pairs(call.response_headers or "")]
    return masking.credentials(headers, call.path, call.query)


def masked_row(call: Exchange, hidden: tuple[bytes, ...]) -> Exchange:
    """Return the row of a call with secrets masked: in all its texts as when it is stored, in some of them further."""
    texts = storable({name: text for name, text in call._asdict().items() if type(text) is str}, hidden)
    return call._replace(**cast("dict[str, Any]", texts))._replace(
        note=call.note and masking.mask_known(call.note, hidden),
        path=masking.mask_known(masking.mask_path(call.path), hidden),
        query=masking.mask_known(masking.mask_query(call.query), hidden),
        request_headers=masked_headers(call.request_headers, hidden),
        response_headers=call.response_headers and masked_headers(call.response_headers, hidden),
        error_message=call.error_message and masked_text(call.error_message, hidden),
        error_kind=call.error_kind and masked_text(call.error_kind, hidden),
        warnings=tuple(masked_text(warning, hidden) for warning in call.warnings),
    )


def masked_headers(text: str, hidden: tuple[bytes, ...]) -> str:
    """Return the text of headers with secrets masked."""
    return masking.mask_known(masking.mask_header_text(text)[0], hidden)


def masked_bodies(bodies: Bodies, hidden: tuple[bytes, ...]) -> Bodies:
    """Return the bodies with secrets masked."""
    request, response, stream = bodies.request, bodies.response, bodies.event_stream
    clean = None if stream is None else gate.masked_part(stream, hidden, in_events=True)
    if response is not None:  # the stream itself, if it is not merged
        response = clean if response == stream else gate.masked_body(response, hidden)[0]
    request = None if request is None else gate.masked_request(request, hidden)[0]
    return replace(bodies, request=request, response=response, event_stream=clean)


def masked_text(text: str, hidden: tuple[bytes, ...] = ()) -> str:
    """Return a text with secrets masked."""
    return gate.masked_body(text.encode("utf-8", "surrogatepass"), hidden)[0].decode("utf-8", "surrogatepass")
